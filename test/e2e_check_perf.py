#!/usr/bin/env python3
"""etcdctl's own load test runs to its end: a minute of 150 writes a second from 50 clients.

Its verdict on speed is printed, not judged: it is the machine's as much as ours. That all writes were
acknowledged, and that they are there, is."""

import re

from demo_cluster import DemoCluster, claim, main


def check_perf_runs_to_its_end():
    with DemoCluster() as demo:
        first = demo.revision()
        done = demo.etcdctl("check", "perf", "--load=s", timeout="90s")
        # A judgement that fails has no PASS or FAIL in front of it.
        verdict = re.findall(r"^(?!.*%).*(?:Throughput|Slowest request|Stddev).*$", done.out, re.MULTILINE)
        for line in verdict:
            print(f"        {line}", flush=True)
        claim(len(verdict) == 3, "it ends with its three judgements", done.out[-500:], done.err)
        claim("too many errors" not in done.out.lower(), "no write fails", done)
        # It deletes its keys at the end: the revisions tell how many writes there were.
        claim(demo.revision() > first + 5000, "its writes happened", first, demo.revision())
        claim(demo.get("/etcdctl-check-perf/", "--prefix", "--limit=1") == {}, "and its deletion too")


if __name__ == "__main__":
    main(check_perf_runs_to_its_end)
