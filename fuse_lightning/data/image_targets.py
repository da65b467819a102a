"""Data module of pictures."""

from typing import Any

from fuse_lightning.data.in_memory import ImageSource, listed
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.names import Root
from fuse_lightning.data.rows import Columns
from fuse_lightning.data.sources import Sources
from fuse_lightning.data.targets import Target, distinct, joined
from fuse_lightning.errors import FuseError


class ImageTargets(TargetDataModule):
    """Data module of pictures: files, folders, manifests, tables, hub data sets, addresses.

    Args:
        images: A picture, a folder, a glob pattern, a manifest (``.jsonl``, ``.json``,
            ``.csv`` or ``.tsv``), a ``.parquet`` or ``.arrow`` file, a folder of them or one that
            ``save_to_disk`` wrote, a data set of the hub as "hub:USER/NAME",
            "hub:USER/NAME@SPLIT" or "hub:USER/NAME:CONFIG@SPLIT", an address, or a list of them.
            In a folder every picture is a target, and every sub-folder one target of several
            pictures, unless it holds a ``metadata.jsonl``, ``.csv`` or ``.parquet``. "zoo/scenes"
            stands for the pictures that come with the package. From Python also PIL images, arrays
            and tensors.
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        together: Whether all pictures are one target, such as a style that they share.
        image_column: Column of pictures, or of their paths from the file that names them; by
            default file_names, file_name, images or image, or the only one that holds pictures.
        sentiment_column: Column of wanted sentiments, by default sentiment.
        caption_column: Column of reference captions, by default caption, captions and references.
        id_column: Column of ids, by default id; a row without one is named by its first picture's
            path from ``root``, or by the table and the number of the row.
        urls: Whether pictures that are given as http or https addresses are fetched.
        revision: Branch, tag or commit of data sets of the hub.
        streaming: Whether to read only the first ``limit`` rows of data sets of the hub, in place
            of downloading them.
        **options: Options of every :class:`TargetDataModule`.
    """

    def __init__(
        self,
        images: ImageSource | list[ImageSource],
        batch_size: int = 1,
        limit: int | None = None,
        together: bool = False,
        image_column: str | None = None,
        sentiment_column: str | None = None,
        caption_column: str | None = None,
        id_column: str | None = None,
        urls: bool = False,
        revision: str | None = None,
        streaming: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, limit, **options)
        if streaming and limit is None:
            raise FuseError("data.streaming reads as many rows as data.limit says; give data.limit")
        self.images = listed(images)
        self.together = together
        self.columns = Columns(image_column, sentiment_column, caption_column, id_column)
        self.urls = urls
        self.revision = revision
        self.streaming = streaming

    def all_targets(self) -> list[Target]:
        """All targets, one for each picture.

        Raises:
            FuseError: If a source is missing, empty or holds something else.
        """
        if not self.images or any(isinstance(each, str) and not each for each in self.images):
            raise FuseError(
                "data.images is empty or names nothing; give a picture, a folder or a glob pattern"
            )
        # Every finished target may be one of the rows that come first.
        stream = (self.limit or 0) + len(self.finished) if self.streaming else None
        seed = self.seed if self.shuffle else None
        root = Root(self.root)
        sources = Sources(root, self.columns, self.urls, self.revision, stream, seed)
        found = distinct(target for source in self.images for target in sources.targets(source))
        if not self.together:
            return found
        whole = joined("together", self.select(found))
        whole.source = ", ".join(dict.fromkeys(map(sources.name, self.images)))
        return [whole]
