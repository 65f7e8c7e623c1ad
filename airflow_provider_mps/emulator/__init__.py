"""
A local MPS: the API over real HTTP on loopback, with verified signatures and scripted faults.

========================  ==============================================================================
``server``                HTTP: the API, a page for the browser (``ui``), the control endpoint of tests
``auth``, ``validation``  what a request must pass before its action runs: signature, parameters
``backend``, ``sts``      the actions: of MPS, and of the services that issue temporary keys
``models``                accounts, settings, tasks; the states that a task goes through
``responses``             the answers in the documented shape, with the content of ``media``
``scenarios``             how a task ends: the file name of its input chooses
``faults``                what fails on the way to MPS, as data
``exceptions``            the error that becomes an error answer
========================  ==============================================================================

The emulator never imports Airflow. Start it with ``python -m airflow_provider_mps.emulator``, or in a test with
:class:`airflow_provider_mps.emulator.server.LocalMps`.
"""
