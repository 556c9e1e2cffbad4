"""Every error the appliance raises on purpose, and the exit code each one ends a command with.

    ApplianceError            1  INTERNAL
    ├── ConfigError           3  CONFIG    unknown key, missing file, impossible value
    ├── SourceError           4  SOURCE    a camera or image folder that can't be used
    │   ├── SourceMissing                  not found: wrong serial number, unplugged, empty folder
    │   ├── SourceLost                     was there, stopped answering; the grabber retries for ever
    │   └── FeatureRefused                 the camera has no such feature or refuses the value
    ├── ModelError            5  MODEL     bundle broken, tampered with, or not for this recipe
    │   ├── ModelContractMismatch          an input or output differs from model.toml
    │   └── ImportRefused    17  IMPORT    a foreign file isn't understood beyond doubt; the message names the option
    ├── PublishError          6  PUBLISH   endpoint busy, or not allowed without keys
    │   └── PeerSilent                     no answer in time: the other side is down, or doesn't know our key
    ├── RingError             7  RING      shared memory or its sockets
    │   └── LeaseReleased                  a frame was used after its release
    ├── TallyError            8  TALLY     announced/decided file foreign, or full
    │   └── TallyFull                      no room: the publisher has not decided the oldest trigger yet
    ├── StageFailed           9  STAGE     a supervised process could not be kept alive
    ├── ToolMissing          10  TOOL      gcc or a system package is missing
    ├── NotRunning           11  NOT_RUNNING  no appliance in this runtime directory
    ├── JournalError         13  JOURNAL   journal damaged, foreign, newer, in use, or its disk fails
    │   └── DiskFull                       no space: nothing was written, later it may be
    ├── KeysError            14  KEYS      a key file is missing, damaged or open to others; a client is unknown
    ├── ResultMissing        15  RESULT    no such result, or its image isn't there
    ├── DatasetError         16  DATASET   labelled images missing, broken, or of classes that the model doesn't know
    │   └── LabelError                     one thing wrong in one file: a row, an annotation, an image; knows the place
    ├── TrainingFailed       18  TRAINING  the training child ended with an error, or left something unusable
    └── ReviewError          19  REVIEW    answers foreign or damaged, or the ledger of judgements can't be used

A message says what, where (camera serial, slot, frame_id, file and key), expected, got, next step: in one line.
Exit code 2 is a wrong command line (click's own), 130 an interrupt.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means; scripts may rely on these numbers."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    CONFIG = 3
    SOURCE = 4
    MODEL = 5
    PUBLISH = 6
    RING = 7
    TALLY = 8
    STAGE = 9
    TOOL = 10
    NOT_RUNNING = 11
    CHECK_FAILED = 12
    JOURNAL = 13
    KEYS = 14
    RESULT = 15
    DATASET = 16
    IMPORT = 17
    TRAINING = 18
    REVIEW = 19
    INTERRUPTED = 130


class ApplianceError(Exception):
    """Base of all deliberate errors; the CLI prints the message and exits with `exit_code`."""

    exit_code = ExitCode.INTERNAL


class ConfigError(ApplianceError, ValueError):
    """The configuration or a recipe can't be used: unknown key, missing file, impossible value."""

    exit_code = ExitCode.CONFIG


class SourceError(ApplianceError):
    """A camera or an image folder can't be used."""

    exit_code = ExitCode.SOURCE


class SourceMissing(SourceError, LookupError):
    """The source isn't there: wrong serial number, camera unplugged, empty folder."""


class SourceLost(SourceError, ConnectionError):
    """The source was there and no longer answers: cable pulled, camera reset, producer error."""


class FeatureRefused(SourceError, ValueError):
    """The camera has no such feature, or refuses the value: read-only, locked, out of range."""


class ModelError(ApplianceError):
    """The model bundle can't be used: file missing, hash differs, contract broken."""

    exit_code = ExitCode.MODEL


class ModelContractMismatch(ModelError, ValueError):
    """An input or output's name, shape or dtype differs from what model.toml promises."""


class ImportRefused(ModelError, ValueError):
    """A foreign model file isn't understood beyond doubt; the message says what was seen and what to pass."""

    exit_code = ExitCode.IMPORT


class PublishError(ApplianceError):
    """Results can't be published: endpoint busy, or not allowed without keys."""

    exit_code = ExitCode.PUBLISH


class PeerSilent(PublishError, TimeoutError):
    """A request over the network got no answer in time: the other side is down, or doesn't accept our key."""


class RingError(ApplianceError):
    """The frame ring can't be set up or reached: no memory, peer speaks another version."""

    exit_code = ExitCode.RING


class LeaseReleased(RingError, ValueError):
    """A frame lease was used after its release; its pixels may be overwritten at any time."""


class TallyError(ApplianceError):
    """An announced/decided file is foreign, from another layout version, or can't be written."""

    exit_code = ExitCode.TALLY


class TallyFull(TallyError, BufferError):
    """The oldest record in the file's window is still undecided: nothing may overwrite it."""


class StageFailed(ApplianceError, ChildProcessError):
    """A supervised process ended before it was ready, and again after each restart."""

    exit_code = ExitCode.STAGE


class ToolMissing(ApplianceError, FileNotFoundError):
    """A compiler or system package is missing; the message names the command that installs it."""

    exit_code = ExitCode.TOOL


class NotRunning(ApplianceError):
    """No appliance runs in the runtime directory that was asked for."""

    exit_code = ExitCode.NOT_RUNNING


class JournalError(ApplianceError, OSError):
    """The journal can't be used: damaged, foreign, from newer software, another writer's, or its disk fails."""

    exit_code = ExitCode.JOURNAL


class DiskFull(JournalError):
    """No space left: nothing of what was asked for is written, and the same may be tried again later."""


class KeysError(ApplianceError):
    """Keys can't be used or changed: file missing, damaged or readable by others, client unknown or there already."""

    exit_code = ExitCode.KEYS


class ResultMissing(ApplianceError, LookupError):
    """The journal has no such result, or the image of one isn't there; the message tells why."""

    exit_code = ExitCode.RESULT


class TrainingFailed(ApplianceError, ChildProcessError):
    """The training child ended with an error or left something unusable; its last words are in the message."""

    exit_code = ExitCode.TRAINING


class DatasetError(ApplianceError, ValueError):
    """Labelled images can't be used: file missing or broken, box impossible, class unknown to the model."""

    exit_code = ExitCode.DATASET


class LabelError(DatasetError):
    """One thing is wrong in one file of a data set; reading stops there, checking goes on.

    Attributes:
        kind: What sort of thing, in one word: "empty_box", "unknown_class", "broken_label" …
        file: Path of the label file or image.
        at: Line or annotation; "" for the whole file.
        what: Expected and got.
    """

    def __init__(self, kind: str, file: str, at: str, what: str) -> None:
        super().__init__(f"{file}, {at}: {what}" if at else f"{file}: {what}")
        self.kind, self.file, self.at, self.what = kind, file, at, what


class ReviewError(ApplianceError, ValueError):
    """Judgements can't be taken in or read: foreign or damaged file of answers, unknown class, ledger unusable."""

    exit_code = ExitCode.REVIEW
