"""Where a bucket is, and a client for it: boto3, as every use of the bucket needs it.

Its own retries are off: how often and after which waits a request is sent again is decided in store_patience_s3.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
from botocore.client import Config

from wherry.service.adapters.store_patience_s3 import try_again

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client

# Requests under way at once for one user of the bucket, and connections kept for them.
THREADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is and how to get in."""

    bucket: str
    prefix: str = ""
    """Path of the DVC remote inside the bucket."""
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """None: Amazon's own."""
    access_key: str | None = None
    """None: as boto3 finds it, such as the role of the machine."""
    secret_key: str | None = field(default=None, repr=False)
    attempts: int = 8
    """How often a request is tried, with the waits of store_patience_s3: about 20 s in all."""
    silence_s: float = 60.0
    """How long an answer may stay away before the call is tried again."""
    path_style: bool = True
    """Whether the bucket is part of the path; else it is part of the host's name."""
    ca_bundle: str | None = None
    """File of certificate authorities for the endpoint; None: those that boto3 brings."""


def make_client(settings: S3Settings) -> "S3Client":
    """Make a client for the bucket, as requests to it and presigning need it."""
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        verify=settings.ca_bundle,
        config=Config(
            # Otherwise presigned URLs are of version 2 and sign the Content-Type.
            signature_version="s3v4",
            s3={"addressing_style": "path" if settings.path_style else "virtual"},
            # Stores other than Amazon's do not know the checksums that newer SDKs add by default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Its waits are too short for a store that is being started again: see store_patience_s3.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=settings.silence_s,
            max_pool_connections=THREADS,
        ),
    )
    try_again(client, attempts=settings.attempts)
    return client


def base64_of(md5: str) -> str:
    """Write a hex MD5 as the header Content-MD5 has it."""
    return b64encode(bytes.fromhex(md5)).decode()
