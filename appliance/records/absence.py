"""Why a record's image is missing: the words that stand in `image.missing`."""

from enum import StrEnum


class Absence(StrEnum):
    """What became of an image that was wanted and isn't there."""

    NO_FRAME = "no_frame"  # the camera delivered none
    NOT_LEASED = "not_leased"  # the ring had none to spare for the recorder, or the recorder came later than the frame
    RECORDER_DOWN = "recorder_down"  # the recorder was killed or stopped between the frame and its image
    SHELF_FULL = "shelf_full"  # given up for a newer frame before the verdict came
    TOO_OLD = "too_old"  # given up because no verdict came
    QUEUE_FULL = "queue_full"  # too much waits for its encoding
    ENCODING_FAILED = "encoding_failed"
    DISK_FULL = "disk_full"
    WRITE_FAILED = "write_failed"
