"""How a gateway is named to the three families of Python clients."""

from __future__ import annotations

from tests.clients.served import Endpoint


def boto(endpoint: Endpoint, *, reader: bool = False) -> dict[str, object]:
    """Return the arguments of a botocore client: boto3, aiobotocore, smart_open."""
    access_key, secret_key = endpoint.keys(reader=reader)
    return {
        "endpoint_url": endpoint.url,
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "region_name": "us-east-1",
        "verify": str(endpoint.ca_file) if endpoint.ca_file else None,
    }


def fsspec(endpoint: Endpoint, *, reader: bool = False) -> dict[str, object]:
    """Return the storage options of s3fs and of what uses it: pandas, Dask, zarr."""
    access_key, secret_key = endpoint.keys(reader=reader)
    return {
        "key": access_key,
        "secret": secret_key,
        "endpoint_url": endpoint.url,
        "client_kwargs": {"verify": str(endpoint.ca_file)} if endpoint.ca_file else {},
        "use_listings_cache": False,
    }


def object_store(endpoint: Endpoint, *, reader: bool = False) -> dict[str, str]:
    """Return the storage options of the Rust crate object_store: polars, deltalake, Lance.

    They take no authority of one's own but from SSL_CERT_FILE: the fixture ``trusted``.
    """
    access_key, secret_key = endpoint.keys(reader=reader)
    return {
        "aws_endpoint_url": endpoint.url,
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
