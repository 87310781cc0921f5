import asyncio

import pytest

from tsc_core.display.assets import Assets


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "static/js").mkdir(parents=True)
    (tmp_path / "static/js/a.1f.js").write_text("let a = 1")
    (tmp_path / "secret.js").write_text("no")
    return tmp_path / "static"


def asked(app, path, method="GET", headers=(), kind="http"):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": kind, "method": method, "path": path, "headers": list(headers)}, None, send))
    return sent


async def behind(scope, receive, send):
    await send({"behind": scope["path"]})


def test_a_file_is_answered_as_the_server_behind_would(folder):
    start, body = asked(Assets(behind, folder, "/static/"), "/static/js/a.1f.js")
    assert start["status"] == 200
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"text/javascript"
    assert headers[b"content-length"] == b"9"
    assert b"immutable" in headers[b"cache-control"]
    assert body["body"] == b"let a = 1"


def test_a_file_is_read_once(folder):
    app = Assets(behind, folder, "/static/")
    first = asked(app, "/static/js/a.1f.js")
    (folder / "js/a.1f.js").unlink()
    assert asked(app, "/static/js/a.1f.js") == first


def test_a_file_that_is_gone_is_left_to_the_server_behind(folder):
    app = Assets(behind, folder, "/static/")
    (folder / "js/a.1f.js").unlink()
    assert asked(app, "/static/js/a.1f.js") == [{"behind": "/static/js/a.1f.js"}]


@pytest.mark.parametrize(
    "path", ["/", "/static/js/none.js", "/static/../secret.js", "/static//js/a.1f.js", "/static/js", "/secret.js"]
)
def test_whatever_is_no_file_of_the_folder_is_passed_on(folder, path):
    assert asked(Assets(behind, folder, "/static/"), path) == [{"behind": path}]


def test_parts_other_methods_and_sockets_are_passed_on(folder):
    app, path = Assets(behind, folder, "/static/"), "/static/js/a.1f.js"
    assert asked(app, path, headers=[(b"range", b"bytes=0-3")]) == [{"behind": path}]
    assert asked(app, path, headers=[(b"if-none-match", b"x")]) == [{"behind": path}]
    assert asked(app, path, method="POST") == [{"behind": path}]
    assert asked(app, path, kind="websocket") == [{"behind": path}]


def test_html_announces_the_modules_that_a_page_will_import(tmp_path):
    (tmp_path / "js").mkdir()
    (tmp_path / "js/Button.1a.js").write_text('import{o}from"./runtime.2b.js";import"./side.3c.js";let x="from./no.js"')
    (tmp_path / "js/runtime.2b.js").write_text('import"./Button.1a.js"')
    (tmp_path / "js/side.3c.js").write_text("")
    (tmp_path / "js/Other.4d.js").write_text("")

    async def html(scope, receive, send):
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def plain(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})

    (start,) = asked(Assets(html, tmp_path, "/static/", ["Button", "NoSuch"]), "/")
    named = dict(start["headers"])[b"link"].decode()
    assert {part.split(">")[0] for part in named.split(", ")} == {
        f"</static/js/{name}" for name in ("Button.1a.js", "runtime.2b.js", "side.3c.js")
    }
    assert named.count("rel=modulepreload") == 3
    (start,) = asked(Assets(plain, tmp_path, "/static/", ["Button"]), "/")
    assert b"link" not in dict(start["headers"])
    (start,) = asked(Assets(html, tmp_path, "/static/"), "/")
    assert b"link" not in dict(start["headers"])
