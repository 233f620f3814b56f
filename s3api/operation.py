"""What an operation is: a value parsed from a request, with the right that it needs, and one method that does it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Protocol, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response


class Operation(Protocol):
    """One S3 operation; the class has S3's own name."""

    permission: ClassVar[Permission | None]
    """What the caller must be allowed in the bucket's repo; None: the operation itself decides what the caller sees."""

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters.

        Raises:
            S3Error: InvalidArgument and the like.
        """
        ...

    async def handle(self, context: Context) -> Response:
        """Do it. Bucket and signature were checked for form and right, not for existence."""
        ...


class BlockingOperation(Operation):
    """One that only asks the store: it answers in the thread that has checked the signature."""

    @abstractmethod
    def answer(self, context: Context) -> Response:
        """Do it, in a thread; no body is read."""
        ...

    async def handle(self, context: Context) -> Response:
        """Do it in a thread."""
        return await context.gateway.run(self.answer, context)
