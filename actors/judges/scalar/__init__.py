"""Reward models that give numbers: PickScore, HPSv2, ImageReward, HPSv3, VideoAlign, and what else
has a scalar specification of these kinds (`factory.judging.scalar`). Others join as code of one's
own.
"""

from actors.judges.scalar.judge import ScalarJudge
from actors.judges.scalar.loading import check, is_scalar, rules_of, specification_of

__all__ = ["ScalarJudge", "check", "is_scalar", "rules_of", "specification_of"]
