"""What must hold of what clients saw. Each checker takes a history and answers a list of violations, each a
text; an empty list is a pass. None of them knows anything of the product."""

from collections import namedtuple

INFINITY = float("inf")

# One operation on one register. `end` is INFINITY when the outcome is unknown; `result` is then ignored.
Op = namedtuple("Op", "start end kind argument result who")


def step(state, op):
    """The states that `op` may lead to from `state` (None: no value), as a tuple; empty: it cannot be here."""
    kind, known = op.kind, op.end != INFINITY
    if kind == "get":
        return (state,) if state == op.result else ()
    if kind == "set":
        return (op.argument,)
    if kind == "setnx":  # true: it was set
        took = state is None
        if known and took != op.result:
            return ()
        return (op.argument,) if took else (state,)
    if kind == "getdel":
        return (None,) if not known or state == op.result else ()
    if kind == "getset":
        return (op.argument,) if not known or state == op.result else ()
    if kind == "cas":  # argument: (old, new); only successes and unknowns are in a history
        if state == op.argument[0]:
            return (op.argument[1],)
        return () if known else (state,)
    if kind == "delif":  # true: it held the argument and is gone
        held = state == op.argument
        if known and held != op.result:
            return ()
        return (None,) if held else (state,)
    raise ValueError(kind)


def linearizable(history, steps_max=400_000):
    """[Wing and Gong 1993; Lowe 2017] One register's operations: None when an order exists, a text when none
    does, "undecided" when the search was given up. An operation of unknown outcome may be left out."""
    ops = sorted(history, key=lambda op: op.start)
    count = len(ops)
    done, state, stack, seen, steps = 0, None, [], set(), 0
    all_known = sum(1 << i for i, op in enumerate(ops) if op.end != INFINITY)
    position = 0  # the next candidate to try at this depth
    deepest = 0
    while True:
        if done & all_known == all_known:
            return None
        # Candidates: not done, and started before the earliest end among those not done.
        horizon = INFINITY
        i = 0
        chosen = None
        while i < count and ops[i].start <= horizon:
            if not done >> i & 1:
                if i >= position and chosen is None:
                    for after in step(state, ops[i]):
                        mark = (done | 1 << i, after)
                        if mark not in seen:
                            seen.add(mark)
                            chosen = (i, after)
                # An operation that ends before another starts goes first.
                horizon = min(horizon, ops[i].end)
            i += 1
        if chosen and ops[chosen[0]].start > horizon:
            chosen = None
        if chosen:
            stack.append((done, state, chosen[0]))
            done, state, position = done | 1 << chosen[0], chosen[1], 0
            deepest = max(deepest, len(stack))
            steps += 1
            if steps > steps_max:
                return "undecided"
            continue
        if not stack:
            return f"no order explains these {count} operations (longest prefix: {deepest})"
        done, state, position = stack.pop()
        position += 1


def registers(histories):
    """{key: [Op]} -> (violations, undecided)"""
    violations, undecided = [], 0
    for key, history in sorted(histories.items()):
        verdict = linearizable(history)
        if verdict == "undecided":
            undecided += 1
        elif verdict:
            lines = [f"{key}: {verdict}"]
            for op in sorted(history, key=lambda op: op.start):
                end = "?" if op.end == INFINITY else f"{op.end:.6f}"
                lines.append(f"    {op.start:.6f}..{end} {op.who} {op.kind} {op.argument} -> {op.result}")
            violations.append("\n".join(lines))
    return violations, undecided


def counter(name, acknowledged, unknown, final):
    """Additions that were acknowledged count once; those of unknown outcome at most once. `acknowledged` is
    their sum, `unknown` the list of the others' amounts (all positive)."""
    if final is None or not acknowledged <= final <= acknowledged + sum(unknown):
        return [f"{name}: {final} where {acknowledged} to {acknowledged + sum(unknown)} can be"]
    return []


def members(name, added, maybe_added, removed, maybe_removed, final):
    """Of a set whose members are each added by one client, once."""
    violations = []
    lost = added - removed - maybe_removed - final
    back = removed & final
    foreign = final - added - maybe_added
    for what, found in (("acknowledged and lost", lost), ("removed and back", back), ("from nowhere", foreign)):
        if found:
            violations.append(f"{name}: {len(found)} {what}: {sorted(found)[:5]}")
    return violations


def single_writer(name, acknowledged, reads):
    """A key with one writer, whose values are 1, 2, 3 ...: a read must not be older than what was acknowledged
    before it began. acknowledged: [(time, number)] ascending; reads: [(start, number or None, who)]."""
    violations = []
    for start, number, who in reads:
        newest = 0
        low, high = 0, len(acknowledged)
        while low < high:
            middle = (low + high) // 2
            if acknowledged[middle][0] < start:
                low, newest = middle + 1, acknowledged[middle][1]
            else:
                high = middle
        if (number or 0) < newest:
            violations.append(f"{name}: {who} read {number} at {start:.6f} after {newest} was acknowledged")
    return violations


def watches(watchers, puts):
    """watchers: {name: [(revision, key, value)]}; puts: {revision: (key, value)} that were acknowledged."""
    violations, known = [], {}
    for name, events in sorted(watchers.items()):
        last = 0
        for revision, key, value in events:
            if revision < last:
                violations.append(f"{name}: {revision} after {last}")
            if revision == last and known.get((revision, key)) == value and (revision, key) in seen_here:
                violations.append(f"{name}: {revision} {key} twice")
            seen_here = {(revision, key)} if revision != last else seen_here | {(revision, key)}
            last = max(last, revision)
            if known.setdefault((revision, key), value) != value:
                violations.append(f"{name}: {revision} {key} is {value}, elsewhere {known[(revision, key)]}")
        have = {(revision, key): value for revision, key, value in events}
        if not events:
            continue
        missing = [(revision, key) for revision, (key, value) in puts.items()
                   if have.get((revision, key)) != value]
        if missing:
            violations.append(f"{name}: {len(missing)} acknowledged puts never shown: {sorted(missing)[:3]}")
    return violations


def self_test():
    """Every checker finds a history that is wrong and passes one that is not."""
    def op(start, end, kind, argument=None, result=None):
        return Op(start, end, kind, argument, result, "x")

    good = [op(0, 1, "set", "a"), op(0.5, 2, "get", None, "a"), op(3, INFINITY, "set", "b"), op(4, 5, "get", None, "b"),
            op(6, 7, "getdel", None, "b"), op(8, 9, "setnx", "c", True), op(8, 10, "setnx", "d", False),
            op(11, 12, "cas", ("c", "e")), op(13, 14, "delif", "c", False), op(15, 16, "getset", "f", "e")]
    assert linearizable(good) is None
    unknowns = [op(i, INFINITY, "set", f"u{i}") for i in range(8)] + [op(20, 21, "get", None, "u3")]
    assert linearizable(unknowns) is None
    for bad in (
            [op(0, 1, "set", "a"), op(2, 3, "set", "b"), op(4, 5, "get", None, "a")],  # stale
            [op(0, 1, "setnx", "a", True), op(0, 1, "setnx", "b", True)],  # a lock given twice
            [op(0, 1, "set", "a"), op(2, 4, "getdel", None, "a"), op(2, 4, "getdel", None, "a")],  # taken twice
            [op(0, 1, "set", "1"), op(2, 9, "cas", ("1", "2")), op(2, 9, "cas", ("1", "3"))],  # a lost update
            [op(0, 1, "set", "a"), op(2, 3, "get", None, None)],  # lost
            [op(0, INFINITY, "set", "a"), op(1, 2, "get", None, "a"), op(3, 4, "get", None, None)]):
        assert linearizable(bad) not in (None, "undecided"), bad
    assert not counter("c", 5, [2], 7) and counter("c", 5, [2], 8) and counter("c", 5, [2], 4)
    assert not members("s", {"a", "b"}, {"c"}, {"b"}, set(), {"a"})
    assert members("s", {"a"}, set(), set(), set(), set()) and members("s", {"a"}, set(), {"a"}, set(), {"a"})
    assert members("s", set(), set(), set(), set(), {"z"})
    assert not single_writer("k", [(1, 1), (2, 2)], [(1.5, 1, "r"), (3, 2, "r"), (0, None, "r")])
    assert single_writer("k", [(1, 1), (2, 2)], [(3, 1, "r")])
    puts = {2: ("a", "1"), 3: ("a", "2")}
    assert not watches({"w": [(2, "a", "1"), (3, "a", "2")]}, puts)
    assert watches({"w": [(2, "a", "1")]}, puts) and watches({"w": [(3, "a", "2"), (2, "a", "1")]}, puts)
    assert watches({"v": [(2, "a", "1"), (3, "a", "9")]}, puts)
