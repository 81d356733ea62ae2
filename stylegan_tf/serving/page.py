"""The page of `/docs`: the API as its OpenAPI description has it, and a form.

It is made here, of nothing that another machine serves.
"""

import html
from collections.abc import Mapping
from typing import Any

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>stylegan_tf API</title>
<style>
 body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}
 code,input{font:14px monospace} table{border-collapse:collapse;width:100%}
 td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-top:1px solid #ccc}
 h2 code{font-size:1.1rem} img{image-rendering:pixelated;max-width:100%}
 output{white-space:pre-wrap;display:block;margin:1rem 0}
</style>"""
SCRIPT = """<script>
const form = document.querySelector("form"), out = document.querySelector("output");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) query.append(name, value);
  const address = "/v1/images?" + query;
  const answer = await fetch(address);
  const kind = answer.headers.get("content-type");
  out.replaceChildren(address + "\\n" + answer.status + " " + kind + "\\n");
  if (kind.startsWith("image/")) {
    const picture = new Image();
    picture.src = URL.createObjectURL(await answer.blob());
    picture.alt = address;
    out.append(picture);
  } else out.append((await answer.text()).slice(0, 2000));
});
</script>"""


def docs_page(api: Mapping[str, Any]) -> str:
    """Returns the page as HTML.

    Args:
        api: the OpenAPI description.
    """
    info = api["info"]
    parts = [
        HEAD,
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>",
        f"<p>{html.escape(info['description'])} ",
        'For programs: <a href="/openapi.json">openapi.json</a>.</p>',
    ]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method, operation))
    return "\n".join([*parts, SCRIPT])


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    name = f"{method.upper()} {path}"
    rows = [f"<h2><code>{html.escape(name)}</code></h2>"]
    rows.append(f"<p>{html.escape(operation.get('summary', ''))}.</p>")
    parameters = operation.get("parameters", [])
    if parameters:
        rows.append("<form><table>")
        for parameter in parameters:
            own = html.escape(parameter["name"])
            about = html.escape(parameter.get("description", ""))
            rows.append(
                f'<tr><td><label for="{own}"><code>{own}</code></label></td>'
                f'<td><input id="{own}" name="{own}"></td><td>{about}</td></tr>'
            )
        rows.append("</table><button>Draw</button></form><output></output>")
    if "requestBody" in operation:
        rows.append("<p>The same parameters, as a JSON object.</p>")
    answers = operation.get("responses", {})
    rows.append("<table>")
    for status, answer in answers.items():
        about = html.escape(answer.get("description", ""))
        rows.append(f"<tr><td><code>{status}</code></td><td>{about}</td></tr>")
    return "\n".join([*rows, "</table>"])
