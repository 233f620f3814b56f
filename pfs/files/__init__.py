"""Bytes in and out: files and streams to chunks, and back to readers and disks."""
