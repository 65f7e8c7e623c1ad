"""
A local MPS: the API over real HTTP, on loopback, with verified signatures and scripted faults.

``backend`` holds the tasks and answers actions, ``bodies`` writes result bodies as MPS documents them from what
``contents`` invents and ``outcomes`` decides, ``server`` speaks HTTP, ``faults`` breaks it on request. It never
imports Airflow. Start it with
``python -m airflow_provider_mps.emulator``, or in a test with :class:`airflow_provider_mps.emulator.server.LocalMps`.
"""
