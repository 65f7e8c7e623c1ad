"""The fault catalogue: what goes wrong in production. Tests name its rows with ``@pytest.mark.fault("F13")``."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """
    One row.

    :param priority: P0 = money, a wrong verdict or a secret; P1 = a task lost or stuck; P2 = noise or speed.
    :param what: what goes wrong, and what has to happen.
    :param untested: why no test names this row.
    """

    priority: str
    what: str
    untested: str = ""

    @property
    def is_grave(self) -> bool:
        """Whether it needs a test that passes."""
        return self.priority in {"P0", "P1"}


CATALOGUE: dict[str, Fault] = {
    "F01": Fault(
        "P0", "the answer to a submission is lost after MPS took the job: one job, and the task goes on with it"
    ),
    "F02": Fault("P0", "a submission is throttled, then accepted: two requests, one job; the official SDK is not used"),
    "F03": Fault("P0", "the worker dies after MPS took the job and before anything was stored: the retry finds it"),
    "F04": Fault("P0", "the worker or the trigger dies during the wait: the retry takes the job up"),
    "F05": Fault("P0", "an Airflow retry after a job that failed: a new job with a verdict of its own"),
    "F06": Fault("P0", "long names with a common start, mapped indexes: SessionIds stay distinct, short and ASCII"),
    "F07": Fault(
        "P0", "Clear submits anew and an automatic retry does not, also after MPS has forgotten the SessionId"
    ),
    "F08": Fault("P1", "MPS no longer knows the job of an earlier try: fails in words, submits anew only on request"),
    "F09": Fault("P0", "arguments that are no plain JSON: refused before anything is sent"),
    "F10": Fault("P1", "pushing an XCom fails right after the submission: the id is stored already"),
    "F11": Fault("P0", "an error that leaves open whether a job runs: sent again only under the same SessionId"),
    "F12": Fault(
        "P0", "one SessionId of the user's own in two runs: an error with the first TaskId, nothing is adopted"
    ),
    "F13": Fault("P0", "a frozen triggerer loses its triggers and wakes up again: nothing is aborted"),
    "F14": Fault("P1", "a triggerer is restarted under its triggers: nothing is aborted, all go on, at once"),
    "F15": Fault("P1", "a user ends a task, deferred or running: the job that still waits is aborted, once"),
    "F16": Fault("P1", "MPS refuses the Abort of a running job: a warning that it is billed, no error, no loop"),
    "F17": Fault(
        "P1", "killed before the TaskId is known: no call without an id; a job in flight is found and aborted"
    ),
    "F18": Fault("P1", "the Abort hangs: worker and triggerer end in their own time"),
    "F19": Fault("P1", "killed in mid-wait or in mid-submission: it ends at once, and nothing more is sent"),
    "F20": Fault(
        "P0", "Airflow's API is away, or the worker is evicted: nothing is aborted, the retry takes the job up"
    ),
    "F21": Fault("P0", "the job outlasts its timeout: a last look, an Abort if it waits, a failure that names it"),
    "F22": Fault(
        "P1",
        "deferrals and slow resumes: one absolute deadline, `timeout`, computed once (Airflow's own execution_timeout "
        "does not count while a task is deferred)",
    ),
    "F23": Fault("P1", "a slow submission: the deadline counts from its start in every mode"),
    "F24": Fault("P1", "a retry takes the job up: the deadline still counts from the first submission"),
    "F25": Fault("P1", "a wait that looks endless has the same default end in every mode, long enough for idle jobs"),
    "F26": Fault("P1", "keys break in mid-wait: the failure names the TaskId, and a retry takes the job up"),
    "F27": Fault("P1", "the job is done just at the deadline: success wins"),
    "F28": Fault("P1", "Clear meets a job that waits: aborted or waited for, never a success from an aborted job"),
    "F29": Fault("P1", "a sensor's timeout is AirflowSensorTimeout in every mode"),
    "F30": Fault("P1", "a sensor's timeout under soft_fail skips in every mode"),
    "F31": Fault("P0", "soft_fail hides no failed job, no wrong connection and no crash"),
    "F32": Fault("P1", "forty answers and more: one verdict, whatever the mode"),
    "F33": Fault("P1", "what has ended is not deferred, and no trigger fires in its first seconds"),
    "F34": Fault("P2", "hundreds of sensors in reschedule mode spread their looks"),
    "F35": Fault("P0", "FINISH with a failed part: fails and lists every failed part; partial success is opt-in"),
    "F36": Fault("P0", "FINISH without results: looked at again for a while, then an error, never a success"),
    "F37": Fault("P1", "FINISH while a part still runs, and the reverse: waits until all agree, with an end"),
    "F38": Fault("P1", "a status or type that nobody documents: waited on with an end, then named"),
    "F39": Fault("P1", "a lost, empty or foreign event: a fresh look, never a verdict"),
    "F40": Fault("P1", "what a callback sees of a failure: TaskId, code, message, RequestId"),
    "F41": Fault("P1", "Airflow's events that end a task from the trigger skip retries and callbacks: not used"),
    "F42": Fault("P1", "a large result: small events, bounded XCom, the rest in files on request"),
    "F43": Fault("P1", "an event is plain JSON, for Airflow's own serialiser too"),
    "F44": Fault("P2", "the zero time of a waiting job is no time"),
    "F45": Fault("P2", "time zones and clock changes do not move a wait"),
    "F46": Fault("P0", "the network or MPS is away during a wait: it goes on, one job, success in the end"),
    "F47": Fault("P1", "MPS stays away for good: fails as 'state unknown' after a bound, and aborts nothing"),
    "F48": Fault("P1", "a permanent refusal is not repeated"),
    "F49": Fault("P1", "a new job that MPS does not know yet: tolerated for a while"),
    "F50": Fault("P1", "a job that MPS no longer knows: said so, no endless poll"),
    "F51": Fault(
        "P0",
        "hundreds of deferred tasks on one quota: all finish, hardly a call is refused",
    ),
    "F52": Fault("P1", "all triggers start at once: their first looks are spread"),
    "F53": Fault(
        "P1",
        "one quota for submissions and triggerers: submissions go first, the pace falls and recovers",
    ),
    "F54": Fault("P1", "intervals that are none: refused before anything is sent"),
    "F55": Fault("P0", "secrets stay out of logs, XCom, rendered fields, trigger arguments, errors and files"),
    "F56": Fault("P1", "worker and triggerer ask with the same region, host, proxy and authority"),
    "F57": Fault("P1", "a clock that is off is corrected once, from the answer's Date"),
    "F58": Fault("P1", "credentials that expire or change in mid-wait are read again"),
    "F59": Fault("P1", "proxies and private authorities work in both halves of a task"),
    "F60": Fault("P1", "the proxies of the environment mean what they mean everywhere; their passwords stay hidden"),
    "F61": Fault("P0", "no callback holds the triggerer's loop"),
    "F62": Fault("P1", "constructors look up no connection"),
    "F63": Fault("P1", "a connection that cannot be read for a while: read again, and the loop stays free"),
    "F64": Fault("P1", "thousands of trigger lives leave neither memory nor file descriptors behind"),
    "F65": Fault("P1", "one trigger in two triggerers, one event taken twice: the same end"),
    "F66": Fault("P1", "one event, then the end; a kill after it does nothing"),
    "F67": Fault("P1", "what an earlier release has stored still loads"),
    "F68": Fault("P2", "a cancelled trigger ends within a tenth of a second"),
    "F69": Fault("P2", "more deferred tasks than a triggerer takes at once"),
    "F70": Fault("P1", "one watch for many: a cancelled or bad one among them touches nobody else"),
    "F71": Fault("P0", "what is no TaskId is refused before any request"),
    "F72": Fault("P1", "templates and mapping: no constructor works on what is not rendered yet"),
    "F73": Fault("P1", "mapped tasks over one input: a job each, and each index its own result"),
    "F74": Fault("P1", "templates keep numbers and dicts"),
    "F75": Fault("P2", "importing operators loads no client"),
    "F76": Fault("P2", "the connection form needs no form library"),
    "F77": Fault("P2", "Airflow 3.2, 3.3 and later"),
    "F78": Fault(
        "P1", "lost, repeated, late and forged callbacks: nothing here waits for one, forged and late ones are refused"
    ),
    "F79": Fault("P0", "one try submits a second job, or another request: refused before it is sent, with the remedy"),
    "F80": Fault("P0", "the state store is empty at a later try of a job without SessionId: unknown, nothing is sent"),
    "F81": Fault("P1", "the state store is empty at a later try of a job with a SessionId: the job is found"),
    "F82": Fault("P0", "`retries` is edited between a try and a Clear: Clear submits a new job"),
    "F83": Fault(
        "P0", "Clear of a running task whose worker is dead: a new job, whether or not the old one is aborted"
    ),
    "F84": Fault(
        "P1", "a crash before the TaskId is stored, then Clear: the old job is found and aborted if it waits; a new one"
    ),
    "F85": Fault(
        "P0", "the run is queued again while its tasks run, then a crash before the TaskId is stored: one job"
    ),
    "F86": Fault("P1", "MPS accepts with a TaskId of an unknown form: it is waited for as it is"),
    "F87": Fault("P0", "a frozen triggerer wakes up when another one has resumed its tasks: nothing is aborted"),
    "F88": Fault("P1", "a list of jobs answers an empty page with a ScrollToken: the search ends"),
    "F89": Fault("P1", "the clock of a worker is up to an hour off: verdicts and deadlines are those of a right clock"),
    "F90": Fault("P1", "a submission is refused for capacity and its worker ends in the pause: the next try submits"),
    "F91": Fault("P1", "a gateway answers 302, 403, 404 or 418 with HTML during a wait: the wait goes on"),
    "F92": Fault("P2", "an error without a code, or with one that nobody documents, during a wait: the wait goes on"),
    "F93": Fault("P2", "the wall clock of a worker steps during a wait: no early end, no early Abort"),
    "F94": Fault("P2", "a log handler raises in the triggerer: the event is still sent"),
    "F95": Fault("P1", "somebody else aborts the job: a retry submits a new one, and adopts no aborted job"),
    "F96": Fault("P1", "a timeout that Airflow cannot store: refused before anything is sent"),
}
