from datetime import UTC, datetime, timedelta

from wherry.service.adapters.signature_s3 import RequestSigner

# The example of "Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference.
SIGNER = RequestSigner(
    host="examplebucket.s3.amazonaws.com",
    region="us-east-1",
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)
MOMENT = datetime(2013, 5, 24, tzinfo=UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
PUT_BODY = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"


def signature_of(head: bytes) -> str:
    return head.decode().partition("Signature=")[2].strip()


def test_a_get_is_signed_as_in_amazons_example() -> None:
    head = SIGNER.head("GET", "/test.txt", {"range": "bytes=0-9"}, body_sha256=EMPTY, now=MOMENT)
    assert signature_of(head) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert b"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," in head
    assert head.startswith(b"GET /test.txt HTTP/1.1\r\nhost: examplebucket.s3.amazonaws.com\r\n")
    assert head.endswith(b"\r\n\r\n")


def test_a_put_is_signed_as_in_amazons_example() -> None:
    headers = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    head = SIGNER.head("PUT", "/test$file.text", headers, body_sha256=PUT_BODY, now=MOMENT)
    assert signature_of(head) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert head.startswith(b"PUT /test%24file.text HTTP/1.1\r\n")


def test_the_key_of_a_day_is_not_used_on_the_next() -> None:
    signed = [
        signature_of(SIGNER.head("GET", "/a", {}, body_sha256=EMPTY, now=MOMENT + timedelta(days=day)))
        for day in (0, 1, 0)
    ]
    assert signed[0] == signed[2] != signed[1]


def test_the_secret_is_in_no_request() -> None:
    assert b"wJalrXUtnFEMI" not in SIGNER.head("GET", "/a", {}, body_sha256=EMPTY, now=MOMENT)
