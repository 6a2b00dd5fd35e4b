"""STS GetCallerIdentity and IAM GetRole, which orchestrators ask before they start a job: form-encoded in, XML out.

Source: AWS STS and IAM API references. There are no roles here: every name is answered, as one that Glue may assume.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from runyard.core.errors import Code
from runyard.dialects.glue import call
from runyard.dialects.glue.call import Caller
from runyard.dialects.glue.errors import fault, is_query
from runyard.http.answers import Whole
from runyard.http.card import Answer, Handler
from runyard.http.request import Request

STS, IAM = "https://sts.amazonaws.com/doc/2011-06-15/", "https://iam.amazonaws.com/doc/2010-05-08/"
_TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"glue.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)
MAX_ROLE = 64
Form = dict[str, str]


def handler(account: str) -> Handler:
    """What answers a `POST /` without a known X-Amz-Target."""

    async def answer(request: Request) -> Answer:
        if request.header(b"x-amz-target") or not is_query(request):
            return await call.unknown(account)(request)
        form = dict(parse_qsl((await request.whole()).decode("utf-8", "replace"), keep_blank_values=True))
        action = form.get("Action", "")
        if action not in ACTIONS:
            raise fault("InvalidAction", f"Could not find operation {action}: only {', '.join(ACTIONS)} are answered.")
        namespace, make = ACTIONS[action]
        body = make(form, call.caller(request, account))
        identifier = str(uuid.uuid4())
        meta = f"<ResponseMetadata><RequestId>{identifier}</RequestId></ResponseMetadata>"
        inner = f"<{action}Result>{body}</{action}Result>{meta}"
        text = f'<{action}Response xmlns="{namespace}">{inner}</{action}Response>'
        return Whole(text.encode(), "text/xml", 200, {"x-amzn-RequestId": identifier})

    return answer


def _identity(form: Form, who: Caller) -> str:
    arn = f"arn:aws:iam::{who.account}:user/{escape(who.by)}"
    return f"<Arn>{arn}</Arn><UserId>{escape(who.by)}</UserId><Account>{who.account}</Account>"


def _role(form: Form, who: Caller) -> str:
    name = form.get("RoleName", "")
    if not 0 < len(name) <= MAX_ROLE or not all(one.isalnum() or one in "+=,.@_-" for one in name):
        said = f"Value '{name[:100]}' at 'roleName' failed to satisfy constraint: 1 to 64 of letters, digits, +=,.@_-"
        raise fault("ValidationError", said, Code.INVALID)
    shown, unique = escape(name), uuid.uuid5(uuid.NAMESPACE_OID, name).hex[:17].upper()
    return (
        f"<Role><Path>/</Path><RoleName>{shown}</RoleName>"
        f"<RoleId>AROA{unique}</RoleId><Arn>arn:aws:iam::{who.account}:role/{shown}</Arn><CreateDate>2020-01-01T00:00:00Z</CreateDate>"
        f"<AssumeRolePolicyDocument>{quote(_TRUST)}</AssumeRolePolicyDocument>"
        "<MaxSessionDuration>3600</MaxSessionDuration></Role>"
    )


ACTIONS: dict[str, tuple[str, Callable[[Form, Caller], str]]] = {
    "GetCallerIdentity": (STS, _identity),
    "GetRole": (IAM, _role),
}
