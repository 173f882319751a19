"""Cookies: kept by name, for the session."""

from http.cookies import CookieError, SimpleCookie


class RequestsCookieJar(dict[str, str]):
    """The cookies of a session or an answer."""

    def set(self, name: str, value: str, **_: object) -> None:
        self[name] = value

    def get_dict(self) -> dict[str, str]:
        return dict(self)

    def take(self, line: str) -> None:
        """Takes what one `Set-Cookie` says."""
        try:
            for name, morsel in SimpleCookie(line).items():
                self[name] = morsel.value
        except CookieError:
            pass


def cookiejar_from_dict(cookies: dict[str, str] | None) -> RequestsCookieJar:
    return RequestsCookieJar(cookies or {})
