# Runs tests of functions, with two descriptors: the tests (read), the report (write). What starts `main` is added by
# the sandbox: a line for an interpreter of its own, or server.py.
#
# It splits in two before either side sees anything it must not: the child runs the program (main.py) and holds
# neither descriptor; the parent runs the tests and never runs a line of the program. Arguments and results cross as
# plain data, comparison happens here. What is not plain data stays with the child, and the tests hold a handle to it.
# Tests that hand live objects (functions, objects of their own classes) to the program cannot be split so: they are
# run again in the child ("alone"), which gets them only once the program is loaded, together with a word that the
# parent wants to hear with every result.
import sys
import posix
import builtins
from builtins import *  # Ours stay as they are, whatever the program does to its own.

Code = type(compile('', '', 'exec'))
TREE = 0x400  # compile() returns a syntax tree
STANDARD = getattr(sys, 'stdlib_module_names', sys.builtin_module_names)


# --- names that a program with a `class Solution` takes for granted ------------------------------------------------

HOMES = {}
for module, names in (
    ('typing', 'Any Callable Dict Deque FrozenSet Generator Generic Iterable Iterator List Literal NamedTuple NoReturn Optional Sequence Set Tuple Type TypeVar Union Mapping DefaultDict'),
    ('collections', 'deque defaultdict Counter OrderedDict namedtuple ChainMap'),
    ('itertools', 'accumulate chain combinations combinations_with_replacement count cycle groupby islice pairwise permutations product repeat starmap takewhile dropwhile zip_longest compress filterfalse tee'),
    ('functools', 'cache cached_property cmp_to_key lru_cache partial reduce total_ordering'),
    ('heapq', 'heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest'),
    ('bisect', 'bisect bisect_left bisect_right insort insort_left insort_right'),
    ('math', 'acos asin atan atan2 ceil comb cos dist e exp fabs factorial floor fmod gcd hypot inf isclose isinf isnan isqrt lcm log log10 log2 perm pi prod radians sin sqrt tan trunc'),
    ('operator', 'add and_ attrgetter floordiv iand ior itemgetter ixor lt gt mod mul neg or_ sub truediv xor'),
    ('string', 'ascii_letters ascii_lowercase ascii_uppercase digits punctuation'),
    ('random', 'randint randrange shuffle choice'),
    ('datetime', 'date datetime timedelta'),
    ('fractions', 'Fraction'), ('decimal', 'Decimal'), ('dataclasses', 'dataclass field'), ('enum', 'Enum'),
    ('copy', 'deepcopy'), ('statistics', 'mean median'), ('abc', 'ABC abstractmethod'), ('sortedcontainers', 'SortedList SortedDict SortedSet'),
):
    for name in names.split():
        HOMES[name] = module
MODULES = set('bisect collections copy datetime decimal fractions functools heapq itertools json math operator os random re string sys time typing statistics'.split())


class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next


class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right


def list_node(values):
    head = tail = ListNode()
    for value in values:
        tail.next = ListNode(value)
        tail = tail.next
    return head.next


def tree_node(values):
    if not values:
        return None
    nodes = [None if value is None else TreeNode(value) for value in values]
    waiting = [nodes[0]]
    places = ((node, side) for node in waiting for side in ('left', 'right'))
    for node, (parent, side) in zip(nodes[1:], places):
        setattr(parent, side, node)
        if node is not None:
            waiting.append(node)
    return nodes[0]


def is_same_list(a, b):
    while a is not None and b is not None:
        if a.val != b.val:
            return False
        a, b = a.next, b.next
    return a is None and b is None


def is_same_tree(a, b):
    pairs = [(a, b)]
    while pairs:
        a, b = pairs.pop()
        if a is None or b is None:
            if a is not b:
                return False
        elif a.val != b.val:
            return False
        else:
            pairs += ((a.left, b.left), (a.right, b.right))
    return True


SHARED = {'ListNode': ListNode, 'TreeNode': TreeNode, 'inf': float('inf')}
HELPERS = {'list_node': list_node, 'tree_node': tree_node, 'is_same_list': is_same_list, 'is_same_tree': is_same_tree}


def names_in(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if type(constant) is Code:
            names |= names_in(constant)
    return names


def fill(namespace, code):
    """Imports what `code` names without defining it, as far as it is usual."""
    for name in names_in(code):
        if name in namespace or hasattr(builtins, name):
            continue
        try:
            if name in MODULES:
                namespace[name] = __import__(name)
            elif name in HOMES:
                namespace[name] = getattr(__import__(HOMES[name]), name)
        except Exception:
            pass


# --- plain data across the pipe -------------------------------------------------------------------------------------

class Live(Exception):
    """A value that cannot leave its process."""


ATOMS = {int, str, bool, float, type(None)}


def encode(value, out, refer):
    kind = type(value)
    if value is None:
        out.append('N')
    elif kind is bool:
        out.append('T' if value else 'F')
    elif kind is int:
        out.append('i%d;' % value)
    elif kind is float:
        out.append('f%s;' % value.hex())
    elif kind is str:
        out.append('s%d;%s' % (len(value), value))
    elif kind is list or kind is tuple or kind is set or kind is frozenset:
        items = value if kind is list or kind is tuple else stable(value)
        if items and set(map(type, items)) == {int}:
            text = ','.join(map(str, items))
            out.append('%sI%d;%s' % (TAGS[kind], len(text), text))
        else:
            out.append('%s%d;' % (TAGS[kind], len(items)))
            for item in items:
                encode(item, out, refer)
    elif kind is dict:
        out.append('d%d;' % len(value))
        for key, item in value.items():
            encode(key, out, refer)
            encode(item, out, refer)
    elif kind is bytes or kind is bytearray:
        out.append('%s%d;%s' % ('b' if kind is bytes else 'B', len(value), value.decode('latin-1')))
    elif kind is complex:
        out.append('c%s;%s;' % (value.real.hex(), value.imag.hex()))
    elif kind is range:
        out.append('R')
        encode((value.start, value.stop, value.step), out, refer)
    elif kind.__name__ == 'ListNode' and hasattr(value, 'next'):
        values, seen, cycle = [], {}, -1
        while value is not None:
            if id(value) in seen:
                cycle = seen[id(value)]
                break
            seen[id(value)] = len(values)
            values.append(value.val)
            value = value.next
        out.append('L%d;' % cycle)
        encode(values, out, refer)
    elif kind.__name__ == 'TreeNode' and hasattr(value, 'left'):
        nodes, values = [value], []
        for node in nodes:
            if len(nodes) > 1000000:
                raise Live('a tree without end')
            values.append(None if node is None else (node.val,))
            if node is not None:
                nodes += (node.left, node.right)
        out.append('Y')
        encode(values, out, refer)
    # Subclasses lose their own ideas of equality here; order matters, bool is none.
    elif issubclass(kind, int):
        out.append('i%d;' % int.__int__(value))
    elif issubclass(kind, float):
        out.append('f%s;' % float.hex(value))
    elif issubclass(kind, str):
        encode(str.__str__(value), out, refer)
    elif issubclass(kind, tuple):
        encode(tuple(tuple.__iter__(value)), out, refer)
    elif issubclass(kind, list):
        encode(list(list.__iter__(value)), out, refer)
    elif issubclass(kind, dict):
        encode(dict(dict.items(value)), out, refer)
    elif issubclass(kind, (set, frozenset)):
        base = set if issubclass(kind, set) else frozenset
        encode(base(base.__iter__(value)), out, refer)
    elif kind.__module__ in ('collections', 'fractions', 'decimal') and kind.__name__ in ('deque', 'Fraction', 'Decimal'):
        real = getattr(sys.modules.get(kind.__module__), kind.__name__, None)
        if kind is not real:
            return refer(value, out)
        out.append({'deque': 'q', 'Fraction': 'x', 'Decimal': 'X'}[kind.__name__])
        encode(list(value) if kind.__name__ == 'deque' else str(value), out, refer)
    elif issubclass(kind, type) and value.__module__ == 'builtins':
        out.append('k%s;' % value.__name__)
    else:
        refer(value, out)


TAGS = {list: '[', tuple: '(', set: '{', frozenset: '<'}
KINDS = {'[': list, '(': tuple, '{': set, '<': frozenset}


def stable(items):
    """Members of a set in an order that both sides agree on, if there is one."""
    try:
        return sorted(items)
    except Exception:
        return list(items)


class Reader:
    def __init__(self, text, resolve, nodes):
        self.text, self.at, self.resolve, self.nodes = text, 0, resolve, nodes

    def until(self):
        end = self.text.index(';', self.at)
        piece = self.text[self.at:end]
        self.at = end + 1
        return piece

    def take(self):
        n = int(self.until())
        piece = self.text[self.at:self.at + n]
        self.at += n
        return piece

    def value(self):
        tag = self.text[self.at]
        self.at += 1
        if tag == 'N':
            return None
        if tag == 'T':
            return True
        if tag == 'F':
            return False
        if tag == 'i':
            return int(self.until())
        if tag == 'f':
            return float.fromhex(self.until())
        if tag == 's':
            return self.take()
        if tag in KINDS:
            if self.text[self.at] == 'I':
                self.at += 1
                return KINDS[tag](map(int, self.take().split(',')))
            return KINDS[tag]([self.value() for _ in range(int(self.until()))])
        if tag == 'd':
            n = int(self.until())
            return {self.value(): self.value() for _ in range(n)}
        if tag == 'b':
            return self.take().encode('latin-1')
        if tag == 'B':
            return bytearray(self.take().encode('latin-1'))
        if tag == 'c':
            return complex(float.fromhex(self.until()), float.fromhex(self.until()))
        if tag == 'R':
            return range(*self.value())
        if tag == 'L':
            cycle = int(self.until())
            values = self.value()
            made = [new(self.nodes['ListNode'], val=value, next=None) for value in values]
            for node, following in zip(made, made[1:]):
                node.next = following
            if cycle >= 0:
                made[-1].next = made[cycle]
            return made[0] if made else None
        if tag == 'Y':
            values = self.value()
            made = [None if value is None else new(self.nodes['TreeNode'], val=value[0], left=None, right=None) for value in values]
            places = ((node, side) for node in made if node is not None for side in ('left', 'right'))
            for node, (parent, side) in zip(made[1:], places):
                setattr(parent, side, node)
            return made[0]
        if tag == 'q':
            from collections import deque
            return deque(self.value())
        if tag == 'x':
            from fractions import Fraction
            return Fraction(self.value())
        if tag == 'X':
            from decimal import Decimal
            return Decimal(self.value())
        if tag == 'k':
            return getattr(builtins, self.until())
        return self.resolve(tag, self.until())


def new(kind, **attributes):
    node = kind.__new__(kind)
    for name, value in attributes.items():
        setattr(node, name, value)
    return node


def send(descriptor, text):
    data = text.encode('utf-8', 'surrogatepass')
    data = memoryview(len(data).to_bytes(8, 'little') + data)
    while data:
        data = data[posix.write(descriptor, data):]


def receive(descriptor):
    """One message, or None if the other side is gone."""
    size = exactly(descriptor, 8)
    data = None if size is None else exactly(descriptor, int.from_bytes(size, 'little'))
    return None if data is None else data.decode('utf-8', 'surrogatepass')


def exactly(descriptor, n):
    parts = []
    while n > 0:
        part = posix.read(descriptor, min(n, 1 << 20))
        if not part:
            return None
        parts.append(part)
        n -= len(part)
    return b''.join(parts)


# --- the child: the program -----------------------------------------------------------------------------------------

def serve(requests, replies):
    objects = []

    def refer(value, out):
        objects.append(value)
        out.append('r%d;' % (len(objects) - 1))

    def resolve(tag, text):
        return objects[int(text)] if tag == 'r' else namespace[text]

    def reply(*parts):
        out = []
        encode(parts, out, refer)
        send(replies, ''.join(out))

    def failure(error):
        text = ''
        try:
            text = str(error)[:300]
        except BaseException:
            pass
        names = []
        for kind in type(error).__mro__:
            names.append(kind.__name__)
        reply('error', names, text)

    module = type(sys)('solution')
    sys.modules['solution'] = sys.modules['__main__'] = module
    sys.argv[:] = ['main.py']
    builtins.exit = builtins.quit = sys.exit
    sys.setrecursionlimit(50000)
    namespace = module.__dict__
    namespace.update(SHARED)
    try:
        with open('main.py', 'rb') as file:
            code = compile(file.read(), 'main.py', 'exec')
        if 'Solution' in code.co_names:
            fill(namespace, code)
        exec(code, namespace)
    except BaseException as error:
        failure(error)
        return
    modules = {}
    plain = []
    for name, value in list(namespace.items()):
        if type(value) is type(sys):
            modules[name] = value.__name__
        elif type(name) is str:
            plain.append(name)
    reply('ready', modules, plain)
    mutable = {list, dict, set, bytearray}
    while True:
        request = receive(requests)
        if request is None:
            return
        try:
            reader = Reader(request, resolve, namespace)
            operation, target, args, named = reader.value()
            if operation == 'judge':
                for what, detail in perform(target, args[0], namespace):
                    reply(args[1], what, detail)
            elif operation == 'call':
                containers = [value for value in (*args, *named.values()) if type(value) in mutable]
                before = []
                for value in containers:
                    encode(value, before, refer)
                result = target(*args, **named)
                after = []
                for value in containers:
                    encode(value, after, refer)
                reply('value', result, None if before == after else containers)
            else:
                reply('value', OPERATIONS[operation](target, *args), None)
        except BaseException as error:
            failure(error)


OPERATIONS = {
    'get': getattr, 'set': setattr, 'item': lambda target, key: target[key], 'has': lambda target, key: key in target,
    'len': len, 'iter': iter, 'next': next, 'bool': bool, 'str': str, 'repr': repr, 'same': lambda a, b: bool(a == b),
    'self': lambda target: target,
}


def perform(entry, text, program):
    """Runs the tests beside the program."""
    tree = compile(text, '<tests>', 'exec', TREE)
    module, lines, broken = type(tree), text.split('\n'), None
    namespace = {**SHARED, **HELPERS, **program}
    if 'Solution' in program:
        fill(namespace, compile(text, '<tests>', 'exec'))
    for node, test in steps(tree, entry):
        outcome = None
        try:
            exec(compile(module([node], []), '<tests>', 'exec'), namespace)
        except AssertionError:
            outcome = 'failed', quote(node, lines)
        except BaseException as error:
            outcome = explain(error)
        if test:
            yield outcome or broken or ('passed', '')
        elif outcome is not None and broken is None:
            broken = outcome


def set_item(target, key, value):
    target[key] = value


OPERATIONS['put'] = set_item


# --- the parent: the tests ------------------------------------------------------------------------------------------

class Ended(BaseException):
    """The program's process is gone."""


class Raised(Exception):
    """The program raised something."""


class Candidate:
    """The other end of the pipe."""

    def __init__(self, pid, requests, replies):
        self.pid, self.requests, self.replies = pid, requests, replies
        self.ended = None
        self.kinds = {}
        # The program's word was taken.
        self.live = False
        # The tests have something that cannot be handed over.
        self.must_be_alone = False

    def hear(self):
        text = receive(self.replies)
        if text is None:
            self.gone()
        try:
            return Reader(text, self.resolve, SHARED).value()
        except Exception:
            raise Raised('a reply that means nothing') from None

    def gone(self):
        if self.ended is None:
            status = posix.waitpid(self.pid, 0)[1]
            if posix.WIFSIGNALED(status):
                signal = posix.WTERMSIG(status)
                kind = {24: 'time', 9: 'killed'}.get(signal, 'error')
                self.ended = kind, 'the program was ended by signal %d' % signal
            else:
                self.ended = 'error', 'the program ended with code %d before its tests did' % posix.WEXITSTATUS(status)
        raise Ended

    def resolve(self, tag, text):
        if tag != 'r':
            raise ValueError
        return Handle('r%d;' % int(text))

    def ask(self, operation, target, args=(), named={}):
        if self.ended:
            raise Ended
        out = []
        encode((operation, target, args, named), out, self.refer)
        try:
            send(self.requests, ''.join(out))
        except OSError:
            self.gone()
        answer = self.hear()
        if answer[0] == 'value':
            if answer[2] is not None:
                containers = [value for value in (*args, *named.values()) if type(value) in RESTORE]
                for value, changed in zip(containers, answer[2]):
                    if type(value) is type(changed):
                        RESTORE[type(value)](value, changed)
            return answer[1]
        raise self.translate(answer[1], answer[2])

    def refer(self, value, out):
        if type(value) is not Handle:
            self.must_be_alone = True
            raise Live('%s cannot be handed to the program' % type(value).__name__)
        out.append(object.__getattribute__(value, '_id'))

    def translate(self, names, text):
        """An exception that the tests may expect, and that is known to come from the program."""
        for name in names:
            base = getattr(builtins, name, None)
            if isinstance(base, type) and issubclass(base, Exception):
                break
        else:
            base = Exception
        if base not in self.kinds:
            try:
                self.kinds[base] = type(base.__name__, (Raised, base), {})
            except TypeError:
                self.kinds[base] = Raised
        try:
            error = self.kinds[base](text)
        except TypeError:
            error = Raised(text)
        error.name_there = names[0]
        return error


def replace_list(value, changed):
    value[:] = changed


def replace_all(value, changed):
    value.clear()
    value.update(changed)


RESTORE = {list: replace_list, bytearray: replace_list, dict: replace_all, set: replace_all}


class Handle:
    """Something that lives with the program. It equals nothing that is plain data."""

    __slots__ = ('_id',)

    def __init__(self, id):
        object.__setattr__(self, '_id', id)

    def __call__(self, *args, **named):
        return candidate.ask('call', self, args, named)

    def __getattr__(self, name):
        return candidate.ask('get', self, (name,))

    def __setattr__(self, name, value):
        candidate.ask('set', self, (name, value))

    def __getitem__(self, key):
        return candidate.ask('item', self, (key,))

    def __setitem__(self, key, value):
        candidate.ask('put', self, (key, value))

    def __contains__(self, key):
        return candidate.ask('has', self, (key,))

    def __len__(self):
        return candidate.ask('len', self)

    def __bool__(self):
        return candidate.ask('bool', self)

    def __iter__(self):
        return candidate.ask('iter', self)

    def __next__(self):
        try:
            return candidate.ask('next', self)
        except StopIteration:
            raise StopIteration from None

    def __str__(self):
        return candidate.ask('str', self)

    def __repr__(self):
        return candidate.ask('repr', self)

    def __eq__(self, other):
        if type(other) is not Handle:
            return False
        # Only the program can tell whether two of its own objects are equal: its word is taken, and marked.
        candidate.live = True
        return candidate.ask('same', self, (other,)) is True

    __hash__ = object.__hash__


def contains(node, kind):
    """Whether an assert, say, stands anywhere in the syntax tree."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if type(node).__name__ == kind:
            return True
        for field in node._fields:
            child = getattr(node, field, None)
            if isinstance(child, list):
                waiting += [item for item in child if hasattr(item, '_fields')]
            elif hasattr(child, '_fields'):
                waiting.append(child)
    return False


def steps(tree, entry):
    """The test code as a list of (statement, is it a test).

    The body of `check(candidate)` takes the place of its call, if it is a plain sequence: each assert is one test.
    """
    functions = {node.name: node for node in tree.body if type(node).__name__ == 'FunctionDef'}
    check = functions.get('check')
    called = False
    found = []
    for node in tree.body:
        call = node.value if type(node).__name__ == 'Expr' and type(node.value).__name__ == 'Call' else None
        name = call.func.id if call is not None and type(call.func).__name__ == 'Name' else None
        if name == 'check' and check is not None:
            called = True
            found += inline(check, call) or [(node, True)]
        elif name in functions:
            found.append((node, True))
        elif type(node).__name__ in ('FunctionDef', 'ClassDef', 'AsyncFunctionDef'):
            found.append((node, False))
        else:
            found.append((node, is_test(node)))
    if check is not None and not called:
        call = compile('check(%s)' % entry, '<call>', 'exec', TREE).body[0]
        found += inline(check, call.value) or [(call, True)]
    if found and not any(test for _, test in found):
        found[-1] = (found[-1][0], True)
    return found


def is_test(node):
    if type(node).__name__ == 'Assert':
        return type(node.test).__name__ != 'Constant'
    return contains(node, 'Assert')


def inline(check, call):
    """Statements that do what calling `check` once would do; None if that cannot be said so simply."""
    args = check.args
    if len(args.args) != 1 or args.posonlyargs or args.kwonlyargs or args.vararg or args.kwarg or check.decorator_list:
        return None
    if len(call.args) != 1 or call.keywords or any(contains(check, kind) for kind in ('Return', 'Yield', 'YieldFrom', 'Global', 'Nonlocal')):
        return None
    bind = compile('%s = None' % args.args[0].arg, '<call>', 'exec', TREE).body[0]
    bind.value = call.args[0]
    body = [(node, is_test(node)) for node in check.body]
    return [(bind, False)] + body if any(test for _, test in body) else None


def judge(entry, text, report, alone):
    try:
        tree = compile(text, '<tests>', 'exec', TREE)
        plan = steps(tree, entry)
        whole = compile(text, '<tests>', 'exec')
    except (SyntaxError, ValueError) as error:
        report('broken the test code does not compile: %s' % error)
        return
    report('plan %d' % sum(test for _, test in plan))
    module = type(tree)
    lines = text.split('\n')
    namespace = {'__name__': 'tests', **SHARED, **HELPERS}
    sys.setrecursionlimit(20000)
    try:
        first = candidate.hear()
    except Ended:
        first = None
    if first is None or first[0] != 'ready':
        what, detail = candidate.ended or explain(candidate.translate(first[1], first[2]))
        for _, test in plan:
            if test:
                report('test %s while loading: %s' % (what, detail))
        return
    if alone:
        overhear(entry, text, report, [test for _, test in plan])
        return
    modules, plain = first[1], set(first[2])
    if entry.isidentifier() and entry not in plain:
        entry_here = method_of_solution(entry, plain)
    else:
        entry_here = None
    names = names_in(whole) | (names_in(compile(entry, '<entry>', 'eval')) if entry else set())
    for name in names:
        if name in HELPERS or hasattr(builtins, name) and name != entry:
            continue
        if name in modules:
            # The real one, whatever the program did to its own.
            if modules[name].split('.')[0] in STANDARD:
                try:
                    namespace[name] = __import__(modules[name], fromlist=['*'])
                except Exception:
                    pass
        elif name == entry and entry_here is not None:
            namespace[name] = entry_here
        elif name in plain and name not in namespace and (name == entry or name not in HOMES):
            namespace[name] = Handle('g%s;' % name)
    if 'Solution' in plain:
        fill(namespace, whole)
    broken = None
    for node, test in plan:
        candidate.live = False
        outcome = None
        try:
            exec(compile(module([node], []), '<tests>', 'exec'), namespace)
        except AssertionError as error:
            outcome = ('error', 'AssertionError in the program') if isinstance(error, Raised) else ('failed', quote(node, lines))
        except Ended:
            pass
        except BaseException as error:
            if isinstance(error, ImportError) and not isinstance(error, Raised):
                # No fault of the program's: tests run with the standard library, and what the policy adds to it.
                report('broken the tests cannot import what they need: %s' % explain(error)[1])
                return
            outcome = explain(error)
        if candidate.must_be_alone:
            report('alone')
            return
        outcome = candidate.ended or outcome
        if test:
            mark = ' live' if candidate.live else ''
            report('test%s %s %s' % (mark, *(outcome or broken or ('passed', ''))))
        elif outcome is not None and broken is None:
            broken = outcome


def overhear(entry, text, report, plan):
    """Has the child run the tests, and believes what comes with the right word."""
    word = posix.urandom(16).hex()
    out = []
    encode(('judge', entry, (text, word), {}), out, candidate.refer)
    try:
        send(candidate.requests, ''.join(out))
    except OSError:
        pass
    for test in plan:
        if not test:
            continue
        try:
            answer = candidate.hear()
            what, detail = answer[1:3] if answer[0] == word else ('error', 'the program disturbed its tests')
            what = what if what in ('passed', 'failed', 'memory') else 'error'
        except Ended:
            what, detail = candidate.ended
        except Exception as error:
            what, detail = explain(error)
        report('test live %s %s' % (what, detail))


def method_of_solution(entry, plain):
    """Some banks name the method alone."""
    if 'Solution' not in plain:
        return None
    try:
        return getattr(Handle('gSolution;')(), entry)
    except Exception:
        return None


def explain(error):
    there = getattr(error, 'name_there', None)
    kind = 'memory' if there == 'MemoryError' or type(error) is MemoryError else 'error'
    try:
        return kind, '%s: %s' % (there or type(error).__name__, error)
    except BaseException:
        return kind, type(error).__name__


def quote(node, lines):
    return ' '.join(' '.join(lines[node.lineno - 1:node.end_lineno]).split())[:300]


def main(tests, report, alone):
    global candidate
    there, requests = posix.pipe()
    replies, back = posix.pipe()
    pid = posix.fork()
    if pid == 0:
        for descriptor in (tests, report, requests, replies):
            posix.close(descriptor)
        try:
            serve(there, back)
        finally:
            posix._exit(0)
    posix.close(there)
    posix.close(back)
    candidate = Candidate(pid, requests, replies)
    chunks = []
    while True:
        chunk = posix.read(tests, 1 << 20)
        if not chunk:
            break
        chunks.append(chunk)
    entry, _, text = b''.join(chunks).decode('utf-8', 'surrogatepass').partition('\n')

    def write(line):
        data = line.replace('\n', ' ').replace('\r', ' ')[:1000].encode('utf-8', 'replace') + b'\n'
        while data:
            data = data[posix.write(report, data):]

    try:
        judge(entry, text, write, alone)
        write('done')
    except BaseException as error:
        write('broken %s' % (explain(error),))
    posix._exit(0)
