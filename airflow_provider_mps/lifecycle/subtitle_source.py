"""Where the result operator gets subtitle files of which the answer holds no segments. Off unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_mps.common.masking import mask_secrets_in
from airflow_provider_mps.common.object_storage import open_folder, read_file
from airflow_provider_mps.errors import MpsConfigError, MpsDownloadError
from airflow_provider_mps.results.outputs import Storage
from airflow_provider_mps.results.redaction import whole_addresses
from airflow_provider_mps.results.subtitles import missing_files, subtitle_of_file

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_mps.client.config import ClientConfig
    from airflow_provider_mps.results.result import MpsTaskResult
    from airflow_provider_mps.results.subtitles import Subtitle, SubtitleFile
    from airflow_provider_mps.results.task import TaskDetail

HTTPS = "https"


@dataclass(frozen=True, slots=True)
class SubtitleSource:
    """From the address that MPS names, or from a ``folder`` in which its paths begin."""

    folder: ObjectStoragePath | None

    @classmethod
    def of(cls, fetch_subtitles: str | None) -> SubtitleSource | None:
        """
        Check the arguments of the operator; None where nothing is to be fetched.

        :raises MpsConfigError: it is neither ``https`` nor a folder.
        """
        if fetch_subtitles in {None, ""}:
            return None
        if fetch_subtitles == HTTPS:
            return cls(None)
        if not isinstance(fetch_subtitles, str) or "://" not in fetch_subtitles:
            raise MpsConfigError(
                f"fetch_subtitles is {fetch_subtitles!r:.40}; it can be {HTTPS!r}, or the folder in which the paths of "
                "MPS begin, such as 's3://cos_conn@media-1250000000'"
            )
        return cls(open_folder(fetch_subtitles, parameter="fetch_subtitles"))

    def complete(self, result: MpsTaskResult, detail: TaskDetail, config: Callable[[], ClientConfig]) -> MpsTaskResult:
        """
        Read the files of every subtitle without segments; one with several files becomes one subtitle for each.

        :param config: asked only if there is something to fetch.
        :raises MpsDownloadError: a file did not come, or is no subtitle file.
        """
        if not any(missing_files(subtitle) for subtitle in result.subtitles):
            return result
        addresses = dict(whole_addresses(detail.body))
        mask_secrets_in(list(addresses.values()))
        stores = {output.path: output.storage for output in result.outputs}

        def completed(subtitle: Subtitle) -> Iterator[Subtitle]:
            files = missing_files(subtitle)
            if not files:
                yield subtitle
            for file in files:
                yield subtitle_of_file(subtitle, file, self._get(file, addresses, stores, config))

        subtitles = tuple(one for subtitle in result.subtitles for one in completed(subtitle))
        return result.model_copy(update={"subtitles": subtitles})

    def _get(
        self,
        file: SubtitleFile,
        addresses: Mapping[str, str],
        stores: Mapping[str, Storage],
        config: Callable[[], ClientConfig],
    ) -> bytes:
        path = str(file.path)
        if self.folder is not None:
            key = unquote(urlsplit(path).path) if "://" in path else path
            if ".." in key.split("/"):
                raise MpsDownloadError("its path leads out of the folder", address=path)
            return read_file(self.folder / key.lstrip("/"))
        from airflow_provider_mps.client.download import download

        return download(addresses.get(path) or _public_address(path, stores.get(path)), config())


def _public_address(path: str, storage: Storage | None) -> str:
    """
    The address of an object in a bucket that the public may read.

    Source: https://www.tencentcloud.com/document/product/436/6224 (default domain names of COS)
    """
    if storage is None or storage.type != "COS" or not (storage.bucket and storage.region):
        raise MpsDownloadError(
            "MPS names no address for it, and no COS bucket with its region; set fetch_subtitles to the folder in "
            "which the paths of MPS begin",
            address=path,
        )
    return f"https://{storage.bucket}.cos.{storage.region}.myqcloud.com/{quote(path.lstrip('/'))}"
