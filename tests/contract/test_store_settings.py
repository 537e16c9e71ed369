"""How the bucket is reached: addresses, certificates, and credentials that are not set."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fault_proxy import FaultProxy, fault_proxy
from wherry.service.adapters.client_s3 import S3Settings, make_client
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.errors import StoreUnavailable


@pytest.mark.parametrize(
    ("path_style", "address"),
    [(True, "https://store.example/bucket/key?"), (False, "https://bucket.store.example/key?")],
)
def test_the_bucket_is_in_the_path_or_in_the_hosts_name(*, path_style: bool, address: str) -> None:
    settings = S3Settings(
        bucket="bucket",
        endpoint_url="https://store.example",
        access_key="id",
        secret_key="secret",
        path_style=path_style,
    )
    signed = make_client(settings).generate_presigned_url(
        "get_object", Params={"Bucket": "bucket", "Key": "key"}
    )
    assert signed.startswith(address)


def test_without_keys_those_of_the_environment_are_used(
    s3_settings: S3Settings, object_store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_settings.access_key or "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_settings.secret_key or "")
    store = S3ObjectStore.connect(replace(s3_settings, access_key=None, secret_key=None))
    asyncio.run(store.put("key", b"content"))
    assert asyncio.run(object_store.get("key")) == b"content"
    asyncio.run(store.close())


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for loopback that nobody has signed, with its key in the same file."""
    path = tmp_path / "certificate.pem"
    key, made = tmp_path / "key.pem", tmp_path / "made.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", key, "-out", made], check=True, capture_output=True)
    path.write_text(key.read_text() + made.read_text())
    return path


@pytest.fixture
def encrypted(s3_settings: S3Settings, certificate: Path) -> Iterator[FaultProxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with fault_proxy(s3_settings.endpoint_url or "", tls=context) as proxy:
        yield proxy


def test_a_store_with_a_certificate_of_ones_own_is_believed_when_its_authority_is_given(
    encrypted: FaultProxy, s3_settings: S3Settings, object_store: S3ObjectStore, certificate: Path
) -> None:
    unknown = replace(s3_settings, endpoint_url=encrypted.url, attempts=1)
    store = S3ObjectStore.connect(unknown)
    with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
        asyncio.run(store.put("key", b"content"))
    asyncio.run(store.close())

    store = S3ObjectStore.connect(replace(unknown, ca_bundle=str(certificate)))
    asyncio.run(store.put("key", b"content"))
    asyncio.run(store.close())
    assert asyncio.run(object_store.get("key")) == b"content"
