"""ScoreKeeper and PromotionDesk in memory, for one underlying."""

from app.service.promotion import Promoting, Promotion
from app.service.score_board import Board, KeptBoard, decode_board
from app.service.score_document import ModelScores, decode_report


class MemoryScores:
    def __init__(self) -> None:
        self.board = b""
        self.last_report = b""
        self.order = (0, 0)
        self.trying: str | None = None
        self.begun: list[str] = []
        self.promoted = ""
        self.promotions: list[Promoting] = []

    def read(self, underlying: str) -> KeptBoard:  # noqa: ARG002
        return KeptBoard(self.board, self.trying)

    def begin(self, underlying: str, model: str) -> None:  # noqa: ARG002
        self.trying = model
        self.begun.append(model)

    def keep(self, underlying: str, as_of_ms: int, sequence: int, *, board: bytes, report: bytes) -> bool:  # noqa: ARG002
        if (as_of_ms, sequence) < self.order:
            return False
        self.order, self.board, self.last_report, self.trying = (as_of_ms, sequence), board, report, None
        return True

    def promote(self, underlying: str, promoting: Promoting, *, instead_of: str | None = None) -> Promotion | None:
        if instead_of not in (None, self.promoted):
            return None
        before, self.promoted = self.promoted, promoting.model
        self.promotions.append(promoting)
        return Promotion(underlying, promoting.model, before or None)

    @property
    def kept(self) -> Board:
        board = decode_board(self.board)
        assert board is not None
        return board

    @property
    def report(self) -> ModelScores:
        return decode_report(self.last_report)
