"""All tuning of polling, in one place. Whoever starts a poller injects it; tests inject their own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PollerSettings:
    """
    Times are seconds.

    One wait:

    :param earliest_event: no trigger fires earlier after its start: the scheduler fails a task whose trigger fires
        before its worker has ended.
    :param young_poll_delay: pause between polls of a task that has just begun.
    :param polls_per_age: an older task is polled again after its age, divided by this.
    :param min_poll_delay: no pause is shorter, whatever interval an author asks for.
    :param jitter: share by which a pause is longer or shorter, so that waits that began together do not stay together.

    One queue:

    :param max_concurrent_polls: requests under way at once: a server that hangs must not collect thousands.
    :param throttle_timeout: a throttled poll keeps its place for this time; then it ends in the error.
    :param poll_timeouts: request timeouts that one poll may take, as it may be signed again and keys may be read again.
    :param poll_timeout_margin: added to that, for reading a connection.
    :param expedited_share: share of the rate for turns whose request a worker sends, since it arrives less evenly.
    :param report_interval: between two reports of the gauges.

    Lists of ended tasks:

    :param min_waits_to_list: waits from which on DescribeTasks is read.
    :param min_list_interval: between two rounds of reading it, with many waits.
    :param max_list_interval: the same, with few waits.
    :param list_interval_waits: the interval is this, divided by the number of waits, within those bounds.
    :param list_overlap: clocks may differ, and a list may lag, by less.
    :param list_timeout: request timeout of one page.
    :param waits_per_page: number of waits for each page read in a round: a long list must cost less than polls do.
    :param max_pages: pages in one round, at most.
    :param max_rounds: rounds for one list; one that is still not read is taken for endless.
    :param interval_factor: multiplies the pauses between polls of one task while lists prove useful.
    :param hint_memory: a hint is known to have been false if its wait comes back within this time.
    :param lists_to_name: complete lists that may pass until one names a task that has ended.
    :param max_credit: points that useful lists collect, one for each hint; a mistake takes some away.
    :param points_for_mistake: points that an ended task that was not named costs; a false hint costs one more.
    :param min_credit: at or below this, lists are switched off.
    :param list_pause: time for which lists stay switched off.
    :param straggler_share: share of the waits that may be much older than the others, and make no list longer.
    :param straggler_age: multiple of the age of the oldest other wait, to which a list goes back.
    """

    earliest_event: float = 5.0
    young_poll_delay: float = 5.0
    polls_per_age: float = 10.0
    min_poll_delay: float = 1.0
    jitter: float = 0.1

    max_concurrent_polls: int = 100
    throttle_timeout: float = 60.0
    poll_timeouts: int = 6
    poll_timeout_margin: float = 60.0
    expedited_share: float = 0.97
    report_interval: float = 10.0

    min_waits_to_list: int = 5
    min_list_interval: float = 0.5
    max_list_interval: float = 2.0
    list_interval_waits: float = 40.0
    list_overlap: float = 60.0
    list_timeout: float = 10.0
    waits_per_page: int = 10
    max_pages: int = 10
    max_rounds: int = 80
    interval_factor: float = 6.0
    hint_memory: float = 600.0
    lists_to_name: int = 3
    max_credit: int = 20
    points_for_mistake: int = 2
    min_credit: int = -10
    list_pause: float = 3600.0
    straggler_share: float = 0.005
    straggler_age: float = 1.25
