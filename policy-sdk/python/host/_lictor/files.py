"""The folder `code` of a policy: compiled once, and then importable and readable in each instance."""

import base64
import builtins
import errno
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import linecache
import marshal
import os
import re
import stat
import sys
import tokenize
from types import CodeType, ModuleType
from typing import Any

from . import failures, log, requirements

# Where the folder `code` is, as the policy sees it.
ROOT = "/code"
# Where `lictor pack` puts what requirements.txt names; looked through last, as the installed packages are elsewhere.
PACKAGES = f"{ROOT}/site-packages"
MAIN = f"{ROOT}/function.py"
CLASS = "AIOSv1PolicyRule"

# The content of each file, and of a module its compiled code: apart, so that only what is imported is read.
Files = dict[str, tuple[bytes, bytes | None]]

# Modules that any interpreter has loaded before a policy's first line: a file of such a name is never imported.
AT_START = frozenset(
    "abc builtins codecs encodings io marshal os posix posixpath genericpath site stat sys time zipimport".split()
)


def shown(path: str) -> str:
    return "code" + path.removeprefix(ROOT)


def is_own(path: str) -> bool:
    return path.startswith(ROOT + "/")


def compile_package(package: bytes) -> bytes:
    """Compiles each file that is Python. One that is not is said when it is imported, as elsewhere."""
    files: Files = {}
    contents = json.loads(package)["files"]
    if requirements.FILE in contents:
        requirements.check(str(contents[requirements.FILE]), contents)
    for name, content in contents.items():
        path = f"{ROOT}/{name}"
        data = content.encode() if isinstance(content, str) else base64.b64decode(content["base64"])
        code = compiled(path, data) if path.endswith(".py") else None
        # However it comes by the class, it has to name it; unless it takes all that another module has.
        if path == MAIN and CLASS not in code.co_names and not re.search(rb"import\s*\(?\s*\*", data):  # type: ignore[union-attr]
            raise failures.failure("missing_export", f"`{shown(MAIN)}` defines no class `{CLASS}`")
        files[path] = (data, marshal.dumps(code) if code else None)
    return marshal.dumps(files)


def compiled(path: str, source: bytes) -> CodeType | None:
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if path != MAIN:
            return None
        line = getattr(error, "lineno", None)
        at = f", line {line}" if line else ""
        why = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise failures.failure("not_a_component", f"`{shown(path)}`{at} is not Python: {why}") from None


class Folder:
    """The files that were loaded."""

    def __init__(self) -> None:
        self.files: Files = {}
        self.folders: dict[str, set[str]] = {}

    def load(self, package: bytes) -> None:
        self.files = marshal.loads(package)
        for path in self.files:
            while path != "/":
                parent, _, name = path.rpartition("/")
                self.folders.setdefault(parent or "/", set()).add(name)
                path = parent or "/"
        self.give_way()

    def give_way(self) -> None:
        """A file of the policy comes before a module of the standard library of the same name, as elsewhere."""
        for name in filter(self.is_module, self.folders.get(ROOT, ())):
            module = name.removesuffix(".py")
            if module not in sys.modules or module in AT_START:
                continue
            for loaded in [loaded for loaded in sys.modules if loaded == module or loaded.startswith(module + ".")]:
                del sys.modules[loaded]

    def is_module(self, name: str) -> bool:
        """Whether an import finds what is called so in the folder `code`."""
        path = f"{ROOT}/{name}"
        return f"{path}/__init__.py" in self.files or name.endswith(".py") and path in self.files

    def main(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("function", MAIN, loader=Loader(MAIN))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["function"] = module
        spec.loader.exec_module(module)
        return module

    def has(self, path: Any) -> str | None:
        """The canonical form of a path that is ours."""
        if isinstance(path, int):
            return None
        try:
            text = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError):
            return None
        return text if text == ROOT or is_own(text) else None


FOLDER = Folder()


class Loader(importlib.abc.InspectLoader):
    """Loads one module of the policy."""

    def __init__(self, path: str) -> None:
        self.path = path

    def get_filename(self, fullname: str) -> str:
        return self.path

    def is_package(self, fullname: str) -> bool:
        return self.path.endswith("/__init__.py")

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(FOLDER.files[self.path][0])

    def get_data(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def get_code(self, fullname: str) -> CodeType:
        source, code = FOLDER.files[self.path]
        # Compiling it again says what is wrong with it.
        return marshal.loads(code) if code else compile(source, self.path, "exec", dont_inherit=True)

    def get_resource_reader(self, fullname: str) -> Any:
        return importlib.machinery.SourceFileLoader(fullname, self.path).get_resource_reader(fullname)

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


class Finder:
    """Finds the modules in one folder of the policy: what `sys.path` and `__path__` name."""

    def __init__(self, path: str) -> None:
        own = FOLDER.has(path)
        if own is None:
            raise ImportError("not a folder of the policy", path=path)
        self.path = own

    def find_spec(self, fullname: str, target: object = None) -> importlib.machinery.ModuleSpec | None:
        base = f"{self.path}/{fullname.rpartition('.')[2]}"
        for path, places in ((f"{base}/__init__.py", [base]), (f"{base}.py", None)):
            if path in FOLDER.files:
                loader = Loader(path)
                return importlib.util.spec_from_file_location(
                    fullname, path, loader=loader, submodule_search_locations=places
                )
        if base in FOLDER.folders:
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [base]
            return spec
        return None


class Entry:
    """What `os.scandir` tells of a file."""

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self.path = os.path.join(folder, name)

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return os.path.isdir(self.path)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return os.path.isfile(self.path)

    def is_symlink(self) -> bool:
        return False

    def is_junction(self) -> bool:
        return False

    def inode(self) -> int:
        return 0

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path)


class Entries(list[Entry]):
    def __enter__(self) -> "Entries":
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def close(self) -> None:
        pass


real_open, real_stat, real_listdir, real_scandir, real_write = io.open, os.stat, os.listdir, os.scandir, os.write
# The descriptors that are standard output and standard error.
STREAMS = {1: log.STDOUT, 2: log.STDERR}


def open_file(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """`open` that also reads the policy's own files. There are no others that it could."""
    if isinstance(file, int) and file in STREAMS:
        return STREAMS[file].buffer if "b" in mode else STREAMS[file]
    path = FOLDER.has(file)
    if path is None:
        return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if set(mode) & set("wax+"):
        raise PermissionError(errno.EACCES, "the policy's files cannot be written", file)
    if path in FOLDER.folders:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    if path not in FOLDER.files:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
    raw = io.BytesIO(FOLDER.files[path][0])
    return raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)


def stat_file(path: Any, *args: Any, **more: Any) -> os.stat_result:
    own = FOLDER.has(path)
    if own is None:
        return real_stat(path, *args, **more)
    if own in FOLDER.folders:
        kind, size = stat.S_IFDIR | 0o555, 0
    elif own in FOLDER.files:
        kind, size = stat.S_IFREG | 0o444, len(FOLDER.files[own][0])
    else:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return os.stat_result((kind, 0, 0, 1, 0, 0, size, 0, 0, 0))


def list_folder(path: Any = ".") -> list[str]:
    own = FOLDER.has(path)
    if own is None:
        return real_listdir(path)
    if own in FOLDER.folders:
        return sorted(FOLDER.folders[own])
    wrong = errno.ENOTDIR if own in FOLDER.files else errno.ENOENT
    raise OSError(wrong, os.strerror(wrong), path)


def scan_folder(path: Any = ".") -> Any:
    own = FOLDER.has(path)
    if own is None:
        return real_scandir(path)
    return Entries(Entry(os.fsdecode(path), name) for name in list_folder(own))


def write_stream(fd: int, data: Any) -> int:
    """`os.write` to the log: the interpreter's own streams are not those of a copy of a frozen instance."""
    return STREAMS[fd].buffer.write(data) if fd in STREAMS else real_write(fd, data)


def only_own() -> None:
    """Nothing but the policy's files is looked for from here on."""
    sys.path[:] = [ROOT, PACKAGES]
    sys.path_importer_cache.clear()


def install() -> None:
    """Puts the policy's files where the standard library looks for files."""
    sys.path_hooks.insert(0, Finder)
    builtins.open = io.open = open_file
    os.stat = os.lstat = stat_file  # type: ignore[assignment]
    os.listdir = list_folder  # type: ignore[assignment]
    os.scandir = scan_folder
    os.write = write_stream
    # Source lines of tracebacks are read through this one.
    tokenize._builtin_open = open_file  # type: ignore[attr-defined]
    linecache.clearcache()
