"""The checks of test/judge.py: pure functions from what clients saw to the first broken promise, or None.

An operation is a dictionary with "start" and "end" in nanoseconds of one clock, and "outcome": "ok" (answered),
"fail" (it did not happen) or "unknown" (it may have happened, or may still). Nothing here knows of a cluster."""

INFINITY = float("inf")


def register(history):
    """Reads and writes of unique values on one register must be linearizable: Gibbons and Korach's zones [1997,
    section 4], which decide it exactly. Operations: {"kind": "write" or "read", "value": ...}; the register
    begins as None. A write of unknown outcome counts if somebody read it."""
    groups = {None: [(-INFINITY, -INFINITY)]}
    starts = {None: -INFINITY}
    read = {op["value"] for op in history if op["kind"] == "read" and op["outcome"] == "ok"}
    for op in history:
        if op["kind"] != "write" or op["outcome"] == "fail":
            continue
        if op["outcome"] == "unknown" and op["value"] not in read:
            continue
        groups[op["value"]] = [(op["start"], op["end"] if op["outcome"] == "ok" else INFINITY)]
        starts[op["value"]] = op["start"]
    for op in history:
        if op["kind"] != "read" or op["outcome"] != "ok":
            continue
        if op["value"] not in groups:
            return f"{op['value']!r} was read and nobody wrote it"
        if op["end"] < starts[op["value"]]:
            return f"{op['value']!r} was read before it was written"
        groups[op["value"]].append((op["start"], op["end"]))
    forward, backward = [], []
    for value, spans in groups.items():
        first_end, last_start = min(end for _, end in spans), max(start for start, _ in spans)
        (forward if first_end < last_start else backward).append(
            (min(first_end, last_start), max(first_end, last_start), value))
    forward.sort(key=lambda zone: zone[:2])
    for (_, end, value), (start, _, other) in zip(forward, forward[1:]):
        if start < end:
            return f"{value!r} and {other!r} were each there before and after the other"
    at = 0
    for start, end, value in sorted(backward, key=lambda zone: zone[:2]):
        while at < len(forward) and forward[at][1] <= start:
            at += 1
        if at < len(forward) and forward[at][0] < start and end < forward[at][1]:
            return f"{forward[at][2]!r} was there before and after all of {value!r}"
    return None


class Undecided(Exception):
    """The search was given up."""


def _conditional_step(state, op):
    """What the register holds after `op`, or False if the answer does not fit; of unknown outcome any fits."""
    kind, seen = op["kind"], op["outcome"] == "ok"
    if kind == "set-if-absent":
        if seen and op["result"] != (state is None):
            return False
        return (op["value"] if state is None else state,)
    if kind == "take":
        return (None,) if not seen or op["result"] == state else False
    return (state,) if not seen or op["result"] == state else False


def conditional(history, steps_max=400_000):
    """Set-if-absent, take (read and delete) and read on one register must be linearizable: the search of Wing,
    Gong and Lowe with a memory of configurations. Results: True or False; the value or None. Raises Undecided."""
    ops = sorted((op for op in history if op["outcome"] != "fail" and
                  not (op["outcome"] == "unknown" and op["kind"] == "read")), key=lambda op: op["start"])
    ends = [op["end"] if op["outcome"] == "ok" else INFINITY for op in ops]
    must = sum(1 << i for i, op in enumerate(ops) if op["outcome"] == "ok")
    seen, stack, steps = set(), [(0, None)], 0
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return None
        if (done, state) in seen:
            continue
        seen.add((done, state))
        # Who may be next: whoever began before the first end of those that are left.
        limit = INFINITY
        for i, op in enumerate(ops):
            if op["start"] > limit:
                break
            if not done >> i & 1:
                limit = min(limit, ends[i])
        for i, op in enumerate(ops):
            if op["start"] > limit:
                break
            if done >> i & 1:
                continue
            steps += 1
            if steps > steps_max:
                raise Undecided()
            after = _conditional_step(state, op)
            if after is not False:
                stack.append((done | 1 << i, after[0]))
    return "no order of the operations explains the answers"


def taken_once(history):
    """No value is taken twice, none is taken that nobody set."""
    given = {op["value"] for op in history if op["kind"] == "set-if-absent" and op["outcome"] != "fail"}
    taken = set()
    for op in history:
        if op["kind"] != "take" or op["outcome"] != "ok" or op["result"] is None:
            continue
        if op["result"] in taken:
            return f"{op['result']!r} was taken twice"
        if op["result"] not in given:
            return f"{op['result']!r} was taken and nobody set it"
        taken.add(op["result"])
    return None


def increments(history, final):
    """Each acknowledged addition counts once, each unknown one at most once; where an answer tells the sum, no
    two tell the same. Operations: {"result": the sum or None}."""
    acknowledged = sum(op["outcome"] == "ok" for op in history)
    unknown = sum(op["outcome"] == "unknown" for op in history)
    sums = set()
    for op in history:
        if op["outcome"] != "ok" or op.get("result") is None:
            continue
        if op["result"] in sums:
            return f"two additions made {op['result']}: one is lost"
        sums.add(op["result"])
    if not acknowledged <= final <= acknowledged + unknown:
        return f"{acknowledged} acknowledged additions and {unknown} unknown ones made {final}"
    return None


def elements(history, final):
    """An element that was added and not removed is there; one whose removal was answered with 1, by the node where
    it had been added before, is not; nothing else is there. Each element is added once. Operations:
    {"kind": "add" or "remove", "value": ..., "result": how many}, in the order of each element's one client."""
    state = {}  # may it be there, may it be missing
    for op in history:
        there, missing = state.get(op["value"], (False, True))
        if op["outcome"] == "ok" and op["kind"] == "add":
            there, missing = True, False
        elif op["outcome"] == "ok" and op["result"] == 1:
            there, missing = False, True
        elif op["outcome"] == "unknown" and op["kind"] == "add":
            there = True
        elif op["outcome"] == "unknown":
            missing = True
        state[op["value"]] = (there, missing)
    for value, (there, missing) in state.items():
        if value in final and not there:
            return f"{value!r} was removed and is there"
        if value not in final and not missing:
            return f"{value!r} was added and is lost"
    for value in final:
        if value not in state:
            return f"{value!r} is there and nobody added it"
    return None


def quorum_register(history):
    """Where reads meet writes (R + W > N), a read tells no value that was overwritten, by a write that began after
    it was acknowledged and was itself acknowledged before the read began. Operations as for register()."""
    writes = {op["value"]: op for op in history if op["kind"] == "write" and op["outcome"] != "fail"}
    acknowledged = sorted((op for op in writes.values() if op["outcome"] == "ok"), key=lambda op: op["end"])
    # Of the writes acknowledged up to each of them, the one that began last.
    latest, newest = [], None
    for op in acknowledged:
        newest = op if newest is None or op["start"] > newest["start"] else newest
        latest.append((op["end"], newest))
    for op in sorted((op for op in history if op["kind"] == "read" and op["outcome"] == "ok"),
                     key=lambda op: op["start"]):
        if op["value"] is not None and op["value"] not in writes:
            return f"{op['value']!r} was read and nobody wrote it"
        low, high = 0, len(latest)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if latest[middle][0] < op["start"] else (low, middle)
        if low == 0:
            continue
        before = latest[low - 1][1]
        written = writes.get(op["value"])
        ended = -INFINITY if written is None else written["end"] if written["outcome"] == "ok" else INFINITY
        if ended < before["start"]:
            return f"{op['value']!r} was read after {before['value']!r} had overwritten it"
    return None


def _op(kind, start, end, outcome="ok", **more):
    return {"kind": kind, "start": start, "end": end, "outcome": outcome, **more}


def self_test():
    """Each check passes right histories and finds what is wrong with the planted ones; the names that fail."""
    write = lambda value, start, end, outcome="ok": _op("write", start, end, outcome, value=value)
    read = lambda value, start, end: _op("read", start, end, value=value)
    give = lambda value, result, start, end, outcome="ok": _op("set-if-absent", start, end, outcome, value=value,
                                                               result=result)
    take = lambda result, start, end, outcome="ok": _op("take", start, end, outcome, result=result)
    look = lambda result, start, end: _op("read", start, end, result=result)
    add = lambda value, outcome="ok": _op("add", 0, 1, outcome, value=value, result=1)
    remove = lambda value, result=1, outcome="ok": _op("remove", 2, 3, outcome, value=value, result=result)
    one = lambda result, outcome="ok": _op("add", 0, 1, outcome, result=result)
    cases = [
        # check, history and more, whether it is right
        ("a register in order", register, ([write("a", 0, 1), read("a", 2, 3), write("b", 4, 5), read("b", 6, 7)],), True),
        ("concurrent writes", register, ([write("a", 0, 9), write("b", 1, 8), read("b", 2, 3), read("a", 4, 5)],), True),
        ("a stale read", register, ([write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],), False),
        ("back and forth", register, ([write("a", 0, 9), write("b", 0, 9), read("a", 1, 2), read("b", 3, 4),
                                       read("a", 5, 6)],), False),
        ("a lost write", register, ([write("a", 0, 1), read(None, 2, 3)],), False),
        ("out of thin air", register, ([read("x", 0, 1)],), False),
        ("from the future", register, ([read("a", 0, 1), write("a", 2, 3)],), False),
        ("a refused write that is read", register, ([write("a", 0, 1, "fail"), read("a", 2, 3)],), False),
        ("an unknown write that comes late", register, ([write("a", 0, 1, "unknown"), read(None, 2, 3),
                                                         read("a", 4, 5)],), True),
        ("an unknown write that goes again", register, ([write("a", 0, 1, "unknown"), read("a", 2, 3),
                                                         read(None, 4, 5)],), False),
        ("given and taken", conditional, ([give("a", True, 0, 1), give("b", False, 2, 3), take("a", 4, 5),
                                           take(None, 6, 7), look(None, 8, 9)],), True),
        ("two win", conditional, ([give("a", True, 0, 5), give("b", True, 1, 4), look("a", 6, 7)],), False),
        ("taken twice", conditional, ([give("a", True, 0, 1), take("a", 2, 5), take("a", 3, 4)],), False),
        ("an unknown take explains it", conditional, ([give("a", True, 0, 1), take(None, 2, 3, "unknown"),
                                                       give("b", True, 4, 5)],), True),
        ("nothing explains it", conditional, ([give("a", True, 0, 1), give("b", True, 4, 5)],), False),
        ("taken once", taken_once, ([give("a", True, 0, 1), take("a", 2, 3)],), True),
        ("taken twice again", taken_once, ([give("a", True, 0, 1), take("a", 2, 3), take("a", 2, 3)],), False),
        ("sums", increments, ([one(1), one(2), one(None, "unknown")], 3), True),
        ("a lost update", increments, ([one(1), one(2), one(2)], 3), False),
        ("too few", increments, ([one(None), one(None)], 1), False),
        ("counted twice", increments, ([one(None), one(None, "unknown")], 3), False),
        ("elements", elements, ([add("a"), add("b"), remove("b"), add("c", "unknown"), add("d", "fail")], {"a"}), True),
        ("a lost element", elements, ([add("a")], set()), False),
        ("it comes back", elements, ([add("a"), remove("a")], {"a"}), False),
        ("a refused one is there", elements, ([add("a", "fail")], {"a"}), False),
        ("nobody's", elements, ([], {"a"}), False),
        ("an unknown removal", elements, ([add("a"), remove("a", 1, "unknown")], {"a"}), True),
        ("a quorum", quorum_register, ([write("a", 0, 1), write("b", 2, 6), read("a", 3, 4), read("b", 7, 8)],), True),
        ("an overwritten value", quorum_register, ([write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],), False),
        ("a lost quorum write", quorum_register, ([write("a", 0, 1), read(None, 2, 3)],), False),
    ]
    return [name for name, check, arguments, right in cases if (check(*arguments) is None) != right]
