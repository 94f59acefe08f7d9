# --- the warm server --------------------------------------------------------------------------------------------------
#
# Follows runner.py in one module, so that a function test is run by the very same lines on both paths. It is started
# once, under all layers, and forks a process per test. It never sees a program or a test.
#
# The process between the two ends at once, so those that run the tests become children of the sandbox (the nearest
# "subreaper"). The sandbox makes each a group of its own, which they could not do themselves under the filters that
# they were born with, and then gives it its one request. Several are made at a time: half of the work is the process
# between.
import gc
import atexit
import resource
import _socket

# What programs import most. Not `random` or what imports it: every test would see the same numbers.
WARM = 'os re typing collections heapq bisect functools itertools math operator string copy'


def forked(control, lifeline):
    """Makes a process for each socket that comes; returns in those processes, with what was asked and descriptors."""
    while True:
        request, ancillary, _, _ = control.recvmsg(1, 256)
        if not request:
            posix._exit(0)  # The sandbox is gone.
        sockets = integers(ancillary)
        between = posix.fork()
        if between == 0:
            pids = []
            for mine in sockets:
                try:
                    pid = posix.fork()
                except OSError:
                    posix._exit(1)
                if pid == 0:
                    for descriptor in (control.detach(), lifeline, *sockets):
                        if descriptor != mine:
                            posix.close(descriptor)
                    return wait(mine)
                pids.append(pid.to_bytes(4, 'little'))
            control.send(b''.join(pids))
            posix._exit(0)
        for descriptor in sockets:
            posix.close(descriptor)
        if posix.waitpid(between, 0)[1] != 0:
            posix._exit(1)
        control.send(b'!')


def wait(mine):
    """Waits for the one request that comes, and puts its descriptors and limits in place."""
    requests = socket(mine)
    request, ancillary, _, _ = requests.recvmsg(1024, 256)
    if not request:
        posix._exit(0)
    requests.close()
    descriptors = integers(ancillary)
    for number in range(3):
        posix.dup2(descriptors[number], number)
        posix.close(descriptors[number])
    request, *limits = request.decode().split()
    for limit in limits:
        kind, soft, hard = map(int, limit.split(':'))
        resource.setrlimit(kind, (soft, hard))
    return request, descriptors[3:]


def socket(number):
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, number)


def integers(ancillary):
    return memoryview(ancillary[0][2]).cast('i').tolist()


def start():
    """What start.py does, but in a new module: the program finds no name of ours."""
    sys.path.insert(0, scratch)
    builtins.exit = builtins.quit = sys.exit
    sys.argv[:] = ['main.py']
    module = sys.modules['__main__'] = type(sys)('__main__')
    module.__dict__.update(usual, __file__='main.py')
    with open('main.py', 'rb') as file:
        source = file.read()
    exec(source, module.__dict__)


def ending(error):
    """Says what the interpreter says when `error` reaches the top, and gives its exit code."""
    if isinstance(error, SystemExit):
        code = error.code
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 255
        try:
            sys.stderr.write('%s\n' % (code,))
        except Exception:
            pass
        return 1
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as another:
        another.__context__ = None
        for heading, error in (('Error in sys.excepthook:', another), ('\nOriginal exception was:', error)):
            print(heading, file=sys.stderr)
            sys.__excepthook__(type(error), error, error.__traceback__)
    return 130 if type(error) is KeyboardInterrupt else 1


def end(code):
    """Ends the process as the interpreter would, but takes apart only what the program made.

    A real end touches all memory that is shared with the server, and so costs several times the rest of a test.
    """
    if '_ctypes' in sys.modules:
        sys.exit(code)  # There may be output in the C library.
    if 'threading' in sys.modules:
        quietly(sys.modules['threading']._shutdown)
    quietly(atexit._run_exitfuncs)
    failed = flush()
    # Objects that are still there may print when they go, or hold output back until then.
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    sys.modules['__main__'] = None
    while len(sys.modules) > known:
        sys.modules.popitem()  # Not by name: counting references to the names of others would copy their pages.
    quietly(gc.collect)
    posix._exit(120 if flush() or failed else code)


def quietly(step):
    try:
        step()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)


def flush():
    failed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, 'closed', False):
                stream.flush()
        except BaseException:
            failed = True
    return failed


usual = {name: value for name, value in globals().items() if name[:2] == '__'}
if '__annotations__' in usual:
    usual['__annotations__'] = {}
scratch = sys.path.pop(0)  # Nothing is found there before there is a program.
control, lifeline = socket(int(sys.argv[1])), int(sys.argv[2])
# How much memory the warm modules take is measured from outside between these two.
control.send(b'0')
control.recv(1)
for module in WARM.split():
    __import__(module)
# Once through what every test does: what it resolves and caches now need not be copied in each of them.
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
posix.close(posix.dup(0))
posix.dup2(0, 0)
for _ in range(20):  # Often enough for the interpreter to specialise the code.
    exec(b'def f(x):\n    return x * 2\nassert f(1) == 2\n', {})
    with open('/dev/null', 'rb') as file:
        file.read()
    flush()
    tree = compile('assert f(1) == 2', '<tests>', 'exec', TREE)
    compile(type(tree)([node for node, _ in steps(tree, 'f')], []), '<tests>', 'exec')
atexit._run_exitfuncs()
known = len(sys.modules)
gc.collect()
gc.freeze()  # Collections in the children leave alone what they share.
control.send(b'1')
request, descriptors = forked(control, lifeline)
del control, tree, file
if request == 'stdin':
    code = 0
    try:
        start()
    except BaseException as error:
        code = ending(error)
    end(code)
else:
    main(*descriptors, request == 'alone')
