"""Which JWTs are believed, and what the others are told."""

import base64
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.api.access.jwks import KeySet, keys_of
from app.api.access.jwt import BadToken, Tokens
from app.api.access.roles import Role
from app.api.problems import Problem
from app.errors import ConfigError, StoreUnavailable
from tests.unit.api.access.house import Clock, House

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
URL = "https://id.example.com/jwks"
NOW = int(datetime.now(UTC).timestamp())


def public(key: Any, key_id: str, **fields: Any) -> dict[str, Any]:
    kinds = {
        rsa.RSAPrivateKey: RSAAlgorithm, ed25519.Ed25519PrivateKey: OKPAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
    }  # fmt: skip
    maker: Any = next(maker for kind, maker in kinds.items() if isinstance(key, kind))
    return {**maker.to_jwk(key.public_key(), as_dict=True), "kid": key_id, **fields}


SET = {"keys": [public(RSA, "r1"), public(ED, "e1")]}
LATER = {"keys": [*SET["keys"], public(OTHER, "r2")]}


class Issuer:
    """Serves a key set by URL; can go away."""

    def __init__(self, document: Any = SET) -> None:
        self.document, self.is_away, self.asked = document, False, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.is_away:
            raise httpx.ConnectError("away", request=request)
        return httpx.Response(200, json=self.document)


def key_set(issuer: Issuer, clock: Clock | None = None) -> KeySet:
    return KeySet(URL, clock_s=clock or Clock(), transport=httpx.MockTransport(issuer))


def tokens(**rules: str) -> Tokens:
    return Tokens(key_set(Issuer()), **rules)


def token(key: Any = RSA, key_id: str = "r1", algorithm: str = "RS256", **claims: Any) -> str:
    whole = {"sub": "ann", "exp": NOW + 3600, "role": "trader", **claims}
    given = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": key_id})


async def refusal(text: str, **rules: str) -> str:
    with pytest.raises(BadToken) as caught:
        await tokens(**rules).principal(text)
    assert text not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "key_id", "algorithm"), [(RSA, "r1", "RS256"), (ED, "e1", "EdDSA")]
)
async def test_a_token_of_a_known_key_says_who_calls(key: Any, key_id: str, algorithm: str) -> None:
    who = await tokens().principal(token(key, key_id, algorithm))

    assert (who.name, who.role, who.kind, who.id) == ("ann", Role.TRADER, "jwt", "ann")
    assert who.expires_at == datetime.fromtimestamp(NOW + 3600 + 30, UTC)


def unsigned(header: dict[str, Any], **claims: Any) -> str:
    parts = [header, {"sub": "ann", "exp": NOW + 3600, "role": "admin", **claims}]
    texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join([*texts, ""])


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 1, ["RS256"]])
async def test_a_token_without_a_signature_is_refused(algorithm: object) -> None:
    assert await refusal(unsigned({"alg": algorithm, "kid": "r1", "typ": "JWT"}))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
async def test_a_token_signed_with_our_public_key_as_a_secret_is_refused(
    algorithm: str, form: str
) -> None:
    """The attack on verifiers that let the token choose: the public key is no secret."""
    encodings = {"pem": serialization.Encoding.PEM, "der": serialization.Encoding.DER}
    secret = (
        json.dumps(SET["keys"][0]).encode()
        if form == "jwk"
        else RSA.public_key().public_bytes(
            encodings[form], serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    signed = unsigned({"alg": algorithm, "kid": "r1", "typ": "JWT"}).removesuffix(".")
    digest = hmac.new(secret, signed.encode(), f"sha{algorithm[2:]}").digest()
    mark = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    assert await refusal(f"{signed}.{mark}") == "A token must be signed with RS256 or EdDSA."


async def test_a_key_signs_with_its_own_algorithm_alone() -> None:
    assert await refusal(token(ED, "r1", "EdDSA"))
    assert await refusal(token(RSA, "e1", "RS256"))
    assert await refusal(token(RSA, "r1", "RS512"))
    assert await refusal(token(EC, "r1", "ES256"))


@pytest.mark.parametrize(
    ("claims", "rules", "told"),
    [
        ({"exp": NOW - 31}, {}, "The token has expired."),
        ({"exp": None}, {}, "The token must have the claim exp."),
        ({"exp": "soon"}, {}, "The token is no JWT."),
        ({"exp": float("inf")}, {}, "The token is no JWT."),
        ({"nbf": NOW + 3600}, {}, "The token is not valid yet."),
        ({"sub": None}, {}, "The token must have the claim sub."),
        ({"sub": 7}, {}, "The token is not valid."),
        ({"sub": ""}, {}, "A token's sub must be 1 to 200 printable characters."),
        ({"sub": "a\x00b"}, {}, "A token's sub must be 1 to 200 printable characters."),
        ({"sub": "a\nlevel=info"}, {}, "A token's sub must be 1 to 200 printable characters."),
        ({}, {"audience": "tapeline"}, "The token must have the claim aud."),
        ({"aud": "other"}, {"audience": "tapeline"}, "The token is for another audience."),
        ({"aud": ["a", "b"]}, {"audience": "tapeline"}, "The token is for another audience."),
        ({}, {"issuer": "https://id"}, "The token must have the claim iss."),
        ({"iss": "https://evil"}, {"issuer": "https://id"}, "The token is of another issuer."),
    ],
)
async def test_a_claim_that_keeps_no_rule_is_named(
    claims: dict[str, Any], rules: dict[str, str], told: str
) -> None:
    assert await refusal(token(**claims), **rules) == told


async def test_clocks_may_differ_by_half_a_minute() -> None:
    now = int(datetime.now(UTC).timestamp())

    assert await tokens().principal(token(exp=now - 15))
    assert await tokens().principal(token(nbf=now + 15))


async def test_audience_and_issuer_that_fit_are_taken() -> None:
    text = token(aud=["web", "tapeline"], iss="https://id")

    assert await tokens(audience="tapeline", issuer="https://id").principal(text)
    assert await tokens().principal(text)


async def test_a_time_beyond_the_calendar_is_the_end_of_it() -> None:
    who = await tokens().principal(token(exp=10**20))

    assert who.expires_at is not None
    assert who.expires_at.year == 9999


async def test_a_changed_token_is_refused() -> None:
    header, claims, mark = token(role="viewer").split(".")
    other = token(role="admin").split(".")[1]

    assert await refusal(f"{header}.{other}.{mark}") == "The token's signature is wrong."
    assert await refusal(f"{header}.{claims}.{mark[:-8]}AAAAAAAA")
    assert await refusal(token(OTHER)) == "The token's signature is wrong."


@pytest.mark.parametrize(
    "text", ["", "x", "a.b", "a.b.c", "é.é.é", "." * 3, "x" * 9000, "eyJhbGciOiJub25lIn0.e30."]
)
async def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        await tokens().principal(text)


@pytest.mark.parametrize("header", ["[" * 3000, "1", "[]", '"x"', "null", "{}", '{"alg": {}}'])
async def test_a_header_that_is_no_header_is_refused(header: str) -> None:
    part = base64.urlsafe_b64encode(header.encode()).rstrip(b"=").decode()

    assert await refusal(f"{part}.e30.AAAA")


@given(text=st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,30}\.[A-Za-z0-9_-]{0,30}\.x*"))
@settings(max_examples=200, deadline=None)
async def test_no_text_is_anything_but_refused(text: str) -> None:
    with pytest.raises(BadToken):
        await tokens().principal(text)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"role": "viewer"}, Role.VIEWER),
        ({"role": "ADMIN"}, Role.ADMIN),
        ({"role": None, "roles": ["viewer", "ops", "dba"]}, Role.OPS),
        ({"role": None, "tapeline_role": "trader"}, Role.TRADER),
        ({"role": "viewer", "tapeline_role": "ops", "roles": ["trader"]}, Role.OPS),
        ({"role": 7, "roles": [None, "viewer"]}, Role.VIEWER),
    ],
)
async def test_the_highest_role_that_is_known_counts(claims: dict[str, Any], role: Role) -> None:
    assert (await tokens().principal(token(**claims))).role is role


@pytest.mark.parametrize("claims", [{"role": None}, {"role": "boss"}, {"role": ["x"], "roles": {}}])
async def test_a_token_without_a_role_of_ours_is_told_which_there_are(
    claims: dict[str, Any],
) -> None:
    with pytest.raises(Problem) as caught:
        await tokens().principal(token(**claims))

    assert (caught.value.status, caught.value.title) == (403, "No known role")
    assert "viewer, trader, ops, admin" in caught.value.detail


async def test_keys_are_read_once_and_for_an_unknown_one_at_most_every_30_s() -> None:
    issuer, clock = Issuer(), Clock()
    keys = key_set(issuer, clock)
    await keys.start()
    for n in range(100):
        assert await keys.key(f"made up {n}") is None
    assert issuer.asked == 1

    clock.now_s += 29
    issuer.document = LATER
    assert await keys.key("r2") is None
    clock.now_s += 1
    assert await keys.key("r2") is not None
    assert issuer.asked == 2


async def test_while_the_issuer_is_away_known_keys_stay_and_unknown_ones_cannot_be_told() -> None:
    issuer, clock = Issuer(), Clock()
    reader = Tokens(key_set(issuer, clock))
    await reader.start()
    issuer.is_away = True
    clock.now_s += 86_400

    assert await reader.principal(token())
    with pytest.raises(StoreUnavailable):
        await reader.principal(token(OTHER, "r2"))

    issuer.is_away, clock.now_s = False, clock.now_s + 30
    with pytest.raises(BadToken, match="not in the key set"):
        await reader.principal(token(OTHER, "r2"))


async def test_a_withdrawn_key_is_gone_after_ten_minutes() -> None:
    issuer, clock = Issuer(), Clock()
    keys = key_set(issuer, clock)
    await keys.start()
    issuer.document = {"keys": [public(ED, "e1")]}

    clock.now_s += 599
    assert await keys.key("r1") is not None
    clock.now_s += 1
    assert await keys.key("r1") is not None  # serves this one while the set is read
    assert keys._reading is not None
    await keys._reading
    assert await keys.key("r1") is None


async def test_an_issuer_that_is_away_at_the_start_is_asked_later_and_it_is_said() -> None:
    issuer, clock = Issuer(), Clock()
    issuer.is_away = True
    keys = key_set(issuer, clock)

    with structlog.testing.capture_logs() as logged:
        await keys.start()
        with pytest.raises(StoreUnavailable):
            await keys.key("r1")
        clock.now_s += 30
        issuer.is_away = False
        assert await keys.key("r1") is not None

    assert [each["event"] for each in logged] == [
        "keys of JWTs not read",
        "keys of JWTs read again",
    ]


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"keys": {}}, {"keys": []}, {"keys": [1, None]},
        {"keys": [public(SHORT, "s1")]},
        {"keys": [public(EC, "c1")]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "h1", "alg": "HS256"}]},
        {"keys": [public(RSA, "r1", use="enc")]},
        {"keys": [public(RSA, "r1", alg="RS512")]},
        {"keys": [public(RSA, "r1", alg="HS256")]},
        {"keys": [public(RSA, "")]},
        {"keys": [public(RSA, 7)]},  # type: ignore[arg-type]
        {"keys": [{"kty": "RSA", "kid": "r1"}]},
        {"keys": [{"kty": "RSA", "kid": "r1", "n": "!", "e": "AQAB"}]},
        {"keys": [RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "private"}]},
    ],
)  # fmt: skip
def test_keys_that_cannot_sign_for_us_are_left_out(document: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        keys_of(document)


def test_a_set_keeps_its_good_keys_beside_bad_ones() -> None:
    assert set(keys_of({"keys": [public(SHORT, "s1"), *SET["keys"], {"kty": "new"}]})) == {
        "r1", "e1",
    }  # fmt: skip


async def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(SET))
    keys = KeySet(str(file))
    await keys.start()

    assert await keys.key("e1") is not None


@pytest.mark.parametrize("text", [None, "", "no json", '{"keys": []}'])
async def test_a_file_without_keys_is_a_wrong_configuration(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "jwks.json"
    if text is not None:
        file.write_text(text)

    with pytest.raises(ConfigError, match=r"^API_JWT_JWKS must be a JSON Web Key Set"):
        await KeySet(str(file)).start()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500), httpx.Response(302, headers={"Location": "https://evil/jwks"}),
        httpx.Response(200, text="<html>"), httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, content=json.dumps(LATER).encode() + b" " * 1_000_000),
    ],
)  # fmt: skip
async def test_an_answer_that_is_no_key_set_changes_nothing(answer: httpx.Response) -> None:
    clock = Clock()
    issuer = Issuer()
    answers = iter([httpx.Response(200, json=issuer.document), answer])
    keys = KeySet(URL, clock_s=clock, transport=httpx.MockTransport(lambda _: next(answers)))
    await keys.start()
    clock.now_s += 30

    with pytest.raises(StoreUnavailable):
        await keys.key("r2")
    assert await keys.key("r1") is not None


async def test_a_token_is_let_in_by_the_guard_and_counted_by_its_subject(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(SET))
    house = House(API_JWT_JWKS=str(file), API_JWT_AUDIENCE="tapeline", API_RATE_PER_MINUTE="2")
    await house.access.start()
    good = token(aud="tapeline", role="ops")

    answers = [await house.get("/ops", good) for _ in range(3)]
    wrong = await house.get("/ops", token(aud="other"))
    low = await house.get("/admin", token(aud="tapeline", sub="bob"))

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (wrong.status_code, low.status_code) == (401, 403)
    assert wrong.json()["detail"] == "The token is for another audience."
    assert (await house.get("/ops")).status_code == 401


async def test_with_the_issuer_away_a_token_of_an_unknown_key_is_503() -> None:
    house = House(API_JWT_JWKS="http://127.0.0.1:1/jwks")
    text = token()

    answer = await house.get("/viewer", text)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert text not in answer.text
