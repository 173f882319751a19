class TemplateError(Exception):
    def __init__(self, path, message):
        super().__init__(f"{'.'.join(path) or 'template'}: {message}")
        self.path = path


class UnknownNameError(TemplateError):
    def __init__(self, path, name):
        super().__init__(path, f"nothing is called {name}")
        self.name = name
