# Runs main.py as a program that reads standard input. The interpreter starts without its `site` module, which takes
# almost half of its time; what programs miss of it are two names.


def start():
    import sys
    import builtins

    builtins.exit = builtins.quit = sys.exit
    sys.argv[0] = 'main.py'
    # The program is this module from here on, and finds no name in it that it did not make.
    module = sys.modules['__main__'].__dict__
    del module['start']
    module['__file__'] = 'main.py'
    with open('main.py', 'rb') as file:
        source = file.read()
    # Without compile(), which first makes a class for every kind of syntax node: a tenth of a run.
    exec(source, module)


start()
