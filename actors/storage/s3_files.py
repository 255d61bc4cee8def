"""Arrow's S3 file system, with the credentials that hold in this process at the time of a call.

Credentials run out and come anew (roles, SSO, `credential_process`), and they must not travel: Ray
pickles file systems and keeps them. So code is handed a file system that asks `connection` at each
call and pickles as nothing but its class; on another machine it asks there. The bytes of a file go
through Arrow's own streams, not through Python.
"""

from __future__ import annotations

from typing import Any

from pyarrow.fs import FileSystemHandler

from actors.storage.s3_connection import connection


class Files(FileSystemHandler):
    """The file system: hands each call on. All are alike."""

    def __reduce__(self) -> Any:
        return Files, ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Files)

    def __hash__(self) -> int:
        return hash(Files)

    def get_type_name(self) -> str:
        return "s3"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> Any:
        return connection().arrow().get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        return connection().arrow().get_file_info(selector)

    def create_dir(self, path: str, recursive: bool) -> None:
        connection().arrow().create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        connection().arrow().delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        connection().arrow().delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("all buckets of a server are not deleted")

    def delete_file(self, path: str) -> None:
        connection().arrow().delete_file(path)

    def move(self, src: str, dest: str) -> None:
        connection().arrow().move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        connection().arrow().copy_file(src, dest)

    def open_input_stream(self, path: str) -> Any:
        return connection().arrow().open_input_stream(path, compression=None)

    def open_input_file(self, path: str) -> Any:
        return connection().arrow().open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return connection().arrow().open_output_stream(path, compression=None, metadata=metadata)

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        return connection().arrow().open_append_stream(path, compression=None, metadata=metadata)
