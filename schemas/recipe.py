"""The recipe: every knob of the factory, its unit and its default, validated before any work.

A recipe is one YAML file; `key=value` words on the command line override single values by dotted
path. Unknown keys are errors; what a job does not read may be left out. The resolved recipe is
stored beside each data set and in MLflow. Paths are relative to the directory in which the command
runs.

Knobs that are only a place or a resource are marked so; `schemas/identity.py` says what of a
section decides what is made, and what to do when a knob is added, renamed or given another default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, JsonValue, field_validator, model_validator

from schemas.identity import PLACE, RESOURCE, FirstDefault, Superseded
from schemas.plugins import PLUGIN, checked, is_plugin
from schemas.rows import Task
from schemas.section import Renamed, Section, needed

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Pool(Section):
    """How many actors of a kind run side by side, and what each takes."""

    size: Positive = Field(1, description="actors; where there is a max_size, those to begin with")
    max_size: Positive | None = Field(
        None, description="most actors: more are started while work waits for them; null: size"
    )
    num_cpus: float = Field(1.0, gt=0, description="logical CPUs of each actor")
    num_gpus: float = Field(0.0, ge=0, description="GPUs of each actor; fractions share one")

    @property
    def most(self) -> int:
        """The most actors that there can be."""
        return self.size if self.max_size is None else self.max_size

    @property
    def span(self) -> str:
        """How many actors, in words."""
        return str(self.size) if self.most == self.size else f"{self.size} to {self.most}"

    @model_validator(mode="after")
    def _grows(self) -> Pool:
        if self.most < self.size:
            raise ValueError(f"max_size: {self.max_size} is less than size: {self.size}")
        return self


class EarlyStopping(Section):
    """When training ends before its last step: on rows of prompts that are kept out of it."""

    every: Positive = Field(description="steps between two looks at the rows kept out")
    patience: Positive = Field(3, description="looks without a lower loss, after which it ends")
    share: float = Field(0.1, gt=0, lt=1, description="share of the prompts that is kept out")


class Training(Section):
    """One training run: Ray Train workers, each with a DeepSpeed engine."""

    num_steps: Positive = Field(description="optimiser steps")
    batch_size: Positive = Field(description="rows of one optimiser step, over all workers")
    learning_rate: float = Field(gt=0, description="peak, after warm-up")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")
    is_cosine: bool = Field(True, description="decay to zero by a half cosine; else constant")
    gradient_clipping: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="keep the moving average of the weights; 0 keeps the last"
    )
    accumulation_steps: Positive = Field(1, description="micro-batches in one optimiser step")
    num_workers: Positive = Field(1, description="Ray Train workers")
    cpus_per_worker: Annotated[float, RESOURCE] = Field(
        1.0, gt=0, description="logical CPUs of each worker"
    )
    use_gpu: bool = Field(False, description="one GPU for each worker")
    zero_stage: Literal[0, 1, 2, 3] = Field(0, description="DeepSpeed ZeRO stage")
    offload: bool = Field(
        False,
        description="keep float32 weights and optimiser states in the worker's host memory and "
        "step there; needs zero_stage 1 or more",
    )
    precision: Literal["fp32", "bf16"] = "fp32"
    log_every: Annotated[Positive, RESOURCE] = Field(
        10, description="steps between two points of the curves"
    )
    early_stopping: EarlyStopping | None = Field(
        None, description="stop when rows kept out are learned no better, and keep the best weights"
    )

    @model_validator(mode="after")
    def _keeps_one_kind_of_weights(self) -> Self:
        if self.early_stopping is not None and self.ema_decay:
            raise ValueError(
                "early_stopping keeps the best weights and ema_decay their average: choose one"
            )
        return self

    @model_validator(mode="after")
    def _can_offload(self) -> Self:
        if self.offload and self.zero_stage == 0:
            raise ValueError("offload needs zero_stage 1 or more: stage 0 has nothing to move")
        return self


def _allow_missing() -> Any:
    """What a checkpoint may lack."""
    return Field(
        default_factory=list,
        description="patterns of names of tensors that the checkpoint may lack, as vision_tower.*."
        "head.*: they are filled at random, alike in each process, and the plan says which; any "
        "other tensor that is missing is an error",
    )


class Answering(Section):
    """How a vision-language model that answers questions is asked."""

    question: str | None = Field(
        None,
        description="words around {media} and {prompt} for a model without a chat template; by its "
        "chat template where not given",
    )
    clip_question: str | None = Field(
        None, description="the same for questions about clips; as `question` where not given"
    )
    answer_end: str | None = Field(
        None,
        description="the one token that ends an answer; where not given the one that the chat "
        "template writes behind an answer, else the tokenizer's own",
    )
    num_frames: Positive = Field(8, description="frames of a clip that the model is shown")
    max_new_tokens: Positive = Field(128, description="longest answer; a longer one is invalid")
    temperature: float = Field(1.0, gt=0, description="of sampling; lower is less varied")
    top_p: float = Field(1.0, gt=0, le=1, description="share of the likeliest tokens sampled from")
    allow_missing: list[str] = _allow_missing()


#: Formats of what is drawn, each with its usual `quality`, or `crf`; None where nothing is lost.
PICTURE_FORMATS: dict[str, int | None] = {
    "png": None,
    "webp-lossless": None,
    "jpeg": 90,
    "webp": 90,
}
CLIP_FORMATS: dict[str, int] = {"h264": 12, "av1": 20}


class Encoding(Section):
    """How what is drawn is stored. Judges see what is stored, and it is known by that."""

    format: Literal["png", "webp-lossless", "jpeg", "webp", "h264", "av1"] | None = Field(
        None, description="of pictures or of clips; png or h264 where not given"
    )
    quality: int | None = Field(
        None, ge=1, le=100, description="of jpeg and webp, 100 is best; 90 where not given"
    )
    crf: int | None = Field(
        None,
        ge=0,
        le=63,
        description="constant rate factor of h264 (0 to 51) and av1 (to 63), 0 is best; 12 and 20 "
        "where not given",
    )

    @model_validator(mode="after")
    def _fits(self) -> Encoding:
        if self.quality is not None and self.format not in ("jpeg", "webp"):
            raise ValueError(f"quality is of format jpeg or webp, not {self.format or 'png'}")
        if self.crf is not None and self.format not in CLIP_FORMATS:
            raise ValueError(f"crf is of format h264 or av1, not {self.format or 'given'}")
        if self.format == "h264" and (self.crf or 0) > 51:
            raise ValueError(f"crf: {self.crf} is more than h264's 51")
        return self

    @property
    def rate(self) -> int | None:
        """The quality or the rate factor, by what is usual where none is given; None where the
        format loses nothing or is not given.
        """
        usual = {**PICTURE_FORMATS, **CLIP_FORMATS}.get(self.format or "")
        return next((one for one in (self.quality, self.crf) if one is not None), usual)

    @classmethod
    def of(cls, told: str) -> Encoding:
        """What `told` says in words."""
        kind, _, measure = told.partition(" ")
        name, _, number = measure.partition(" ")
        return cls(**{"format": kind, **({name: int(number)} if name else {})})

    def told(self) -> str:
        """In words: `png`, `jpeg quality 90`, `h264 crf 12`."""
        if self.format is None:
            return f"png or h264 crf {CLIP_FORMATS['h264']}"
        measure = "crf" if self.format in CLIP_FORMATS else "quality"
        return self.format if self.rate is None else f"{self.format} {measure} {self.rate}"


def _revision(does: str, what: str = "package.module:name") -> Any:
    """Which version of a model is meant that does not lie here."""
    return Field(
        None,
        min_length=1,
        description="of a hub name, the branch, tag or commit that is loaded, the main branch "
        f"where not given; of {what}, what you call it as it is now, code and weights, to be "
        f"changed whenever it {does} otherwise: without one nothing that it makes is taken over by "
        "another run. None of a directory, which is known by what lies in it",
    )


class GeneratorSpec(Section):
    """The generator before the first round: a diffusers pipeline, or a model that answers."""

    path: Annotated[str, PLACE] = Field(
        description="local directory or hub name, of diffusers or of transformers, or "
        "package.module:name of a generator of your own, which draws and cannot be aligned"
    )
    name: str = Field("generator", pattern=r"^[a-z0-9][a-z0-9-]*$")
    num_inference_steps: Positive = Field(20, description="denoising steps")
    guidance_scale: float = Field(5.0, ge=0, description="classifier-free guidance")
    width: Positive | None = Field(None, description="pixels; the pipeline's own where not given")
    height: Positive | None = Field(None, description="pixels; the pipeline's own where not given")
    num_frames: Positive | None = Field(
        None, description="frames of a clip; the pipeline's own where not given"
    )
    fps: float = Field(16.0, gt=0, description="frames a second at which a clip is stored")
    encoding: Encoding = Field(
        default_factory=Encoding, description="how pictures or clips are stored"
    )
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    trust_remote_code: bool = Field(
        False, description="run the code that comes with the checkpoint; logged at each load"
    )
    answering: Answering | None = Field(
        None, description="for a vision-language model that answers; its defaults where not given"
    )
    revision: str | None = _revision("draws")
    call: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="more arguments of a pipeline's call, by their names in diffusers, as "
        "{true_cfg_scale: 4, negative_prompt: blurry}; the plan holds them against its signature",
    )
    variant: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_]+$",
        description="of a pipeline's weights, as fp16 of model.fp16.safetensors, where those "
        "without a variant are not wanted or not there",
    )


class Endpoint(Section):
    """How a model behind an OpenAI-compatible endpoint is asked; a judge's `path` says where."""

    model: str = Field(description="the model's name at the server")
    key_variable: Annotated[str | None, PLACE] = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="environment variable that holds the key; the key itself is never in a recipe",
    )
    timeout_s: Annotated[float, RESOURCE] = Field(
        60.0, gt=0, description="seconds without a byte of one request"
    )
    num_retries: Annotated[int, RESOURCE] = Field(
        4, ge=0, description="tries after the first, with growing pauses"
    )
    concurrency: Annotated[Positive, RESOURCE] = Field(
        8, description="requests at a time of each worker"
    )


#: How a judge runs, as far as its section says so by a word; see `JudgeSpec.backend`.
BACKENDS = ("auto", "transformers", "scalar", "endpoint")
#: Keys of a judge's section that are not every backend's, and whose they are.
_KEYS_OF: dict[str, tuple[str, ...]] = {
    "precision": ("transformers", "scalar"),
    "max_batch": ("transformers", "scalar"),
    "trust_remote_code": ("transformers",),
    "allow_missing": ("transformers",),
    "specification": ("transformers", "scalar", "endpoint"),
    "endpoint": ("endpoint",),
    "revision": ("transformers", "scalar", "endpoint", "module"),
    "fusion": ("panel",),
}


class JudgeSpec(Section):
    """A judge: where it is, how it runs, and how it is asked. The recipe's own is fine-tuned as
    `train_judge` says, and used as it is without.
    """

    path: Annotated[str, PLACE] = Field(
        "",
        description="where it is: a local directory, an s3:// address or a hub's name; of an "
        "endpoint its http(s) address, up to and with /v1; of code of your own "
        "package.module:name, which may stand as `backend` instead",
    )
    backend: str = Field(
        "auto",
        description="how it runs: transformers (a vision-language model that answers), scalar (a "
        "model that gives a number), endpoint (an OpenAI-compatible server, asked in text), or "
        "package.module:name of code of your own; auto tells by `path` and by what lies there",
    )
    name: str = Field("judge", pattern=r"^[a-z0-9][a-z0-9-]*$")
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    trust_remote_code: bool = Field(
        False, description="run the code that comes with the checkpoint; logged at each load"
    )
    specification: str | None = Field(
        None,
        description="how it is asked: name of a shipped specification, or a JSON file; the model's "
        "own judge.json where not given",
    )
    max_batch: Annotated[Positive, RESOURCE] = Field(
        64, description="most scores or duels in one forward pass; less memory where smaller"
    )
    revision: str | None = _revision("judges", "an endpoint, or of package.module:name")
    allow_missing: list[str] = _allow_missing()
    endpoint: Endpoint | None = Field(None, description="of an endpoint: which model, and how")
    panel: list[JudgeSpec] = Field(
        default_factory=list,
        description="several judges as one, in the place of `path`: each a section like this "
        "one, of any backend, with a `name` of its own",
    )
    fusion: Annotated[str | None, PLACE] = Field(
        None,
        description="of a panel: how its members are weighed, a file of `python -m jobs.panel`; "
        "all alike where not given",
    )

    @property
    def told(self) -> str | None:
        """The backend as far as the section tells it, `module` for code of one's own; None where
        what lies at `path` has to be looked at.
        """
        if self.panel:
            return "panel"
        by_path = told_by(self.path)
        return by_path if by_path or self.backend == "auto" else self.backend

    @model_validator(mode="before")
    @classmethod
    def _backend_is_told_in_one_way(cls, given: Any) -> Any:
        """Code of one's own is known by its name at either key, and an endpoint by its address:
        however it is written, it is one section.
        """
        if not isinstance(given, Mapping) or not isinstance(given.get("backend"), str):
            return given
        backend, path = given["backend"], str(given.get("path") or "")
        if is_plugin(backend):
            if path not in ("", backend):
                raise ValueError(
                    f"backend: {backend!r} is code of your own, and that is where it is; leave "
                    f"path ({path!r}) out"
                )
            return {**given, "path": backend, "backend": "auto"}
        if backend == "endpoint" and is_url(path):
            return {**given, "backend": "auto"}
        return given

    @field_validator("backend")
    @classmethod
    def _is_known(cls, backend: str) -> str:
        if backend not in BACKENDS:
            raise ValueError(f"is to be package.module:name or one of: {', '.join(BACKENDS)}")
        return backend

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.panel:
            self._is_a_panel()
            return self
        if not self.path:
            raise ValueError("path: missing; it says where the judge is")
        told = self.told
        if told is not None and self.backend not in ("auto", told):
            what = "code of your own" if told == "module" else "the address of an endpoint"
            raise ValueError(f"backend: {self.backend} cannot run {self.path!r}, which is {what}")
        if self.backend == "endpoint":
            raise ValueError(
                f"path: {self.path!r} is no address of an endpoint, as http://localhost:8000/v1"
            )
        if told == "endpoint" and "@" in self.path:
            raise ValueError(
                "path: has a name or a key in it, which stay in the environment: name the variable "
                "in endpoint.key_variable"
            )
        if told is not None:
            check_keys(self, told)
        if told == "endpoint" and self.endpoint is None:
            raise ValueError("endpoint: missing: which model is asked there, as {model: NAME}")
        if told == "endpoint" and self.specification is None:
            raise ValueError(
                "specification: missing: of an endpoint nobody else says how it is asked; name a "
                "shipped one, or a JSON file"
            )
        return self

    def _is_a_panel(self) -> None:
        if self.path or self.backend != "auto":
            key = "path" if self.path else "backend"
            raise ValueError(f"{key}: is of one judge, and a panel is its members: leave it out")
        check_keys(self, "panel")
        names = [one.name for one in self.panel]
        if len(names) < 2:
            raise ValueError("panel: one judge is no panel: name it in `path`")
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None or self.name in names:
            raise ValueError(
                f"panel: {twice or self.name!r} names two judges; give each member a `name` "
                "of its own, and not that of the panel"
            )
        if any(one.panel for one in self.panel):
            raise ValueError("panel: a member is itself a panel; name its members here")


def told_by(path: str) -> str | None:
    """The backend of a judge as far as its path alone tells it."""
    if is_plugin(path):
        return "module"
    return "endpoint" if is_url(path) else None


def is_url(path: str) -> bool:
    """Whether a path is the address of an endpoint."""
    return path.startswith(("http://", "https://"))


def check_keys(spec: JudgeSpec, backend: str) -> None:
    """Refuse keys of a judge's section that say nothing to its backend.

    Raises:
        ValueError: names the key, and whose it is.
    """
    for key, whose in _KEYS_OF.items():
        is_given = getattr(spec, key) != type(spec).model_fields[key].get_default(
            call_default_factory=True
        )
        if is_given and backend not in whose:
            words = {"module": "code of your own", "panel": "a panel"}
            runs = words.get(backend, f"run by backend {backend}")
            raise ValueError(
                f"{key}: is of backend {' or '.join(whose)}, and {spec.path or spec.name!r} is "
                f"{runs}: leave it out"
            )


class HeldOutJudge(JudgeSpec):
    """A judge that had no part in making the pairs: trained on other labels, or by others."""

    name: str = Field("heldout-judge", pattern=r"^[a-z0-9][a-z0-9-]*$")


class EndpointSpec(Endpoint):
    """A judge behind an endpoint as `evaluate.endpoint` names one: from before a judge's section
    could (`JudgeSpec`).
    """

    url: str = Field(pattern=r"^https?://", description="base URL, up to and with /v1")
    specification: str = Field(description="name of a shipped specification, or a JSON file")
    name: str = Field("endpoint", pattern=r"^[a-z0-9][a-z0-9-]*$")
    revision: str | None = Field(
        None,
        min_length=1,
        description="what you call the model behind the endpoint as it is now: change it whenever "
        "it may answer otherwise. Without one its replies are taken over by no other run",
    )

    @property
    def judge(self) -> JudgeSpec:
        """The same as a judge's section."""
        return JudgeSpec(
            path=self.url,
            name=self.name,
            specification=self.specification,
            revision=self.revision,
            endpoint=Endpoint(**{key: getattr(self, key) for key in Endpoint.model_fields}),
        )

    @classmethod
    def of(cls, judge: JudgeSpec) -> EndpointSpec:
        """The section of a judge behind an endpoint in this form, in which what was measured of one
        has always been noted.
        """
        assert judge.endpoint is not None  # as its validation asks for
        return cls(
            url=judge.path,
            specification=judge.specification or "",
            name=judge.name,
            revision=judge.revision,
            **dict(judge.endpoint),
        )


class AnnotatorSpec(Section):
    """One simulated annotator."""

    name: str
    noise: float = Field(0.04, ge=0, description="sd added to the quality seen, on a scale of 0-1")
    error_rate: Share = Field(0.03, description="share of answers given at random")
    tie_width: float = Field(0.04, ge=0, description="differences of quality below this are ties")
    biases: dict[Literal["brightness", "saturation", "contrast", "sharpness"], float] = Field(
        default_factory=dict, description="planted likings: quality per standard deviation"
    )


class Labels(Section):
    """Human labels for the judge: files, or simulated annotators where there are no people."""

    path: Annotated[str | None, PLACE] = Field(
        None, description="label rows (file or data set); else simulated"
    )
    prompts: Annotated[str | None, PLACE] = Field(
        None, description="prompts whose candidates are labelled"
    )
    simulator: str = Field(
        "sandbox",
        description="package.module:name of what labels the candidates in people's place, or "
        "sandbox for its annotators; see factory/protocols.py",
    )
    inbox: Annotated[str | None, PLACE] = Field(
        None,
        description="folder into which people put label rows (files or data sets) at any time; "
        "each round takes in what is new",
    )
    num_candidates: Positive = Field(4, description="candidates drawn for each prompt")
    pairs_per_prompt: Positive = Field(3, description="labelled pairs for each prompt")
    heldout_share: Share = Field(0.2, description="share of prompts kept for measuring the judge")
    annotators: list[AnnotatorSpec] = Field(default_factory=lambda: [AnnotatorSpec(name="ann")])

    @field_validator("simulator")
    @classmethod
    def _can_be_loaded(cls, name: str) -> str:
        return checked(name, "labels.simulator")


class Calibrate(Section):
    """Calibration of the judge on a part of the held-out labels; the other part reports on it."""

    method: Literal["temperature", "isotonic"] = Field(
        "temperature", description="of the maps; isotonic needs some hundreds of labels a task"
    )
    fit_share: Share = Field(
        0.5,
        description="share of held-out prompts that it is fitted on; 0 for no calibration. From "
        "fewer than 50 prompts no map of pairs is fitted",
    )
    target_precision: Share = Field(
        0.9, description="share of right verdicts, below which the judge is to abstain"
    )
    num_resamples: Positive = Field(1000, description="bootstrap resamples, clustered by prompt")


class Lora(Section):
    """Low-rank adapters, trained in place of all weights. The reference has them off."""

    rank: Positive = Field(16, description="rank of each adapter")
    alpha: float = Field(16.0, gt=0, description="an adapter's output is scaled by alpha / rank")
    targets: list[str] = Field(
        default_factory=list,
        description="endings of the adapted layers' names; where empty, those of all attention",
    )


class TrainJudge(Training):
    """Fine-tuning of the judge."""

    pair_share: Share = Field(0.75, description="share of pairwise rows in a batch; others points")
    label_smoothing: Share = Field(0.0, description="probability spread over wrong tokens")
    order_consistency: float = Field(
        0.0, ge=0, description="weight of the penalty on verdicts that depend on the order shown"
    )
    answer_weight: float = Field(1.0, ge=0, description="weight of the answer's cross-entropy")
    verdict_weight: float = Field(
        0.0, ge=0, description="weight of Bradley-Terry with ties on the verdict's margin"
    )
    score_weight: float = Field(0.0, ge=0, description="weight of regression on the score")
    justification_weight: float = Field(
        0.0, ge=0, description="weight of the justification's cross-entropy, where there is one"
    )
    tie_odds: float = Field(5.0, gt=1, description="tie parameter of Bradley-Terry (Rao & Kupper)")
    task_shares: dict[Task, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="sampling weight of each task in a batch; in proportion to the labels if empty",
    )
    lora: Lora | None = Field(None, description="train adapters in place of all weights")
    calibration: Calibrate = Calibrate()


class Localise(Training):
    """A judge that goes on learning from the labels of one region, product or team. What is not
    said here is as in train_judge.
    """

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", description="of the line, as judge-north; not the judge's"
    )
    labels: Annotated[str, PLACE] = Field(description="label rows of the slice (file or data set)")
    parent: Annotated[str | None, PLACE] = Field(
        None, description="judge to continue; the round's own where not given"
    )
    trust_remote_code: bool = Field(
        False, description="run the code that comes with `parent`; logged at each load"
    )
    replay_share: float = Field(
        0.5, ge=0, lt=1, description="share of the parent's labels among those trained on"
    )
    lora: Lora | None = Field(Lora(), description="train adapters; null for all weights")
    min_slice_gain: Share = Field(
        0.0, description="lower 95 % bound of the accuracy gained on the slice's held-out labels"
    )
    max_overall_loss: Share = Field(
        0.05, description="upper 95 % bound of the accuracy lost on the parent's held-out labels"
    )


class Distil(Training):
    """A lighter judge made of one that judged groups: it has fewer layers and only scores. Rows of
    `batch_size` are groups, all of whose candidates are looked at.
    """

    name: str = Field(
        "judge-light", pattern=r"^[a-z0-9][a-z0-9-]*$", description="of the line; not the judge's"
    )
    text_layers: Positive | None = Field(
        None, description="layers of the language model that are kept; all where not given"
    )
    vision_layers: Positive | None = Field(
        None, description="layers of the vision tower that are kept; all where not given"
    )
    score_weight: float = Field(
        1.0, ge=0, description="of the squared error of scores, as a share of the scale"
    )
    verdict_weight: float = Field(
        1.0, ge=0, description="of the divergence from the teacher's verdicts, in nats"
    )
    is_exported: bool = Field(
        False, description="write it as ONNX too, and with weights of eight bits; see actors/judges"
    )
    min_accuracy_kept: Share = Field(
        0.9, description="share of the teacher's accuracy above chance, on held-out labels"
    )

    @model_validator(mode="after")
    def _learns_something(self) -> Self:
        if self.score_weight + self.verdict_weight == 0:
            raise ValueError("score_weight and verdict_weight are both 0: nothing would be learned")
        return self


class Criterion(Section):
    """One dimension of quality, or its variant for the prompts with some tags."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9 _-]*$", description="of the dimension")
    text: str | None = Field(
        None,
        min_length=1,
        description="sentence put to the judge after the prompt, for this score; left out for a "
        "dimension of this name that the judge rates by itself (`dimensions` of its specification)",
    )
    weight: float = Field(1.0, ge=0, description="in the weighted mean of all scores")
    where: dict[str, str] = Field(
        default_factory=dict, description="tags that a prompt must have, such as region: north"
    )


class Criteria(Section):
    """What else counts beside the judge's overall score; see factory/judging/criteria.py."""

    overall_weight: float = Field(1.0, ge=0, description="of the judge's overall score")
    named: list[Criterion] = Field(
        default_factory=list,
        description="criteria; of those with one name the one with the most fitting tags counts",
    )

    @model_validator(mode="after")
    def _are_told_apart(self) -> Criteria:
        seen = set()
        for one in self.named:
            if one.name == "overall":
                raise ValueError("'overall' is the judge's own score; call the criterion otherwise")
            variant = (one.name, frozenset(one.where.items()))
            if variant in seen:
                raise ValueError(f"{one.name!r} is there twice with the same 'where'")
            seen.add(variant)
            if self.overall_weight + one.weight == 0:
                raise ValueError(f"{one.name!r} and overall_weight are both 0: nothing would count")
        return self


#: What a column of a brought table can say of a prompt and of its candidates.
CandidateColumn = Literal[
    "prompt",
    "task",
    "source_media",
    "tags",
    "media",
    "answer",
    "generator",
    "seed",
    "source",
    "license",
    "consent",
]
#: The same, and what a judge said of them.
JudgedColumn = Literal[
    CandidateColumn, "candidates", "id", "score", "breakdown", "preference", "rank", "duels"
]
_COLUMNS = (
    "the table's column for each, where it has another name: {prompt: caption, media: file_name}. "
    "`meta.caption` is a field within a column; a list names several candidates of a row"
)


class BroughtTable(Section):
    """A table that exists, and what its columns say; see docs/journeys/own-candidates.md."""

    path: Annotated[str, PLACE] = Field(
        description="a table (CSV, JSON Lines, JSON, Parquet, WebDataset tar); a folder with one, "
        "or with those of a Hugging Face data set; or the hub name of a data set"
    )
    task: Task = Field("image_generation", description="of rows that have no `task` of their own")
    media: str | None = Field(
        None, description="folder below which rows name media; that of the table where not given"
    )
    split: str | None = Field(
        None, description="of a data set in several: the part of its files' paths that names it"
    )
    revision: str | None = Field(
        None,
        min_length=1,
        description="of a hub name: branch, tag or commit; the main branch where not given",
    )


class Candidates(BroughtTable):
    """Candidates that exist: each row has a prompt and a medium or an answer."""

    columns: dict[CandidateColumn, str | list[str]] = Field(
        default_factory=dict, description=_COLUMNS
    )


class Judged(BroughtTable):
    """Candidates that exist and what somebody said of them: scores, preferences or both."""

    columns: dict[JudgedColumn, str | list[str]] = Field(default_factory=dict, description=_COLUMNS)
    judge: str = Field(
        min_length=1, description="who judged, as name@version; it is named and not loaded"
    )
    scale: tuple[float, float] | None = Field(
        None, description="lowest and highest score there can be; needed where there are scores"
    )
    values: dict[str, Literal["first", "second", "tie"]] = Field(
        default_factory=dict, description="what the words of `preference` mean, as {left: first}"
    )

    @property
    def address(self) -> str:
        """Who judged, as name@version; version 0 where none is told."""
        return self.judge if "@" in self.judge else f"{self.judge}@0"

    @field_validator("scale")
    @classmethod
    def _rises(cls, scale: tuple[float, float] | None) -> tuple[float, float] | None:
        if scale is not None and not scale[0] < scale[1]:
            raise ValueError(f"{list(scale)} is not [LOW, HIGH] with LOW below HIGH")
        return scale


class Produce(Section):
    """Prompts to judged groups."""

    prompts: Annotated[str, PLACE] = needed(
        "produce.prompts", "Parquet, JSON Lines or text file of prompts", "FILE"
    )
    num_candidates: int = Field(8, ge=2, description="candidates for each prompt (N)")
    also: list[GeneratorSpec] = Field(
        default_factory=list,
        description="more generators, each of which draws num_candidates beside the champion's; "
        "one worker holds them all",
    )
    candidates: Candidates | None = Field(
        None,
        description="candidates that exist; without `prompts` nothing is drawn, and with `prompts` "
        "the generators draw for those beside what is brought along",
    )
    judged: Judged | None = Field(
        None, description="groups that exist with their judgements; no model is loaded"
    )
    reuse: Annotated[list[str], PLACE] = Field(
        default_factory=list,
        description="data sets of groups or candidates, of any root, finished or begun: what they "
        "hold of what this recipe would draw and ask is taken from there and not paid for again",
    )
    pilot: int = Field(
        64,
        ge=0,
        description="prompts of each task that are judged before all others where nothing tells "
        "the judge's noise, so that what they tell plans the finals of `bracket`; only where there "
        "are four times as many. 0: none",
    )
    groups_per_block: Annotated[Positive, RESOURCE] = Field(
        8, description="prompts in one Ray Data block"
    )
    max_failed_share: Annotated[Share, RESOURCE] = Field(
        0.5, description="share of failed rows in a stage above which a run stops early"
    )
    row_timeout_s: Annotated[float | None, RESOURCE] = Field(
        3600.0,
        gt=0,
        description="seconds that a model may take over one prompt; then the row is invalid and "
        "its worker starts anew. null: no limit",
    )
    load_timeout_s: Annotated[float | None, RESOURCE] = Field(
        3600.0,
        gt=0,
        description="seconds that a model may take to load, downloads included; at the second time "
        "the run ends. null: no limit",
    )
    generators: Annotated[Pool, RESOURCE] = Pool()
    judges: Annotated[Pool, RESOURCE] = Pool()
    is_calibrated: bool = Field(
        False, description="judge by calibrated scores and verdicts instead of the judge's own"
    )
    keep_words: Annotated[bool, RESOURCE] = Field(
        True,
        description="keep what a judge that answers in words wrote; without its words nobody can "
        "read or take over its verdicts later",
    )

    @property
    def draws(self) -> bool:
        """Whether generators are to draw: not where only what exists is brought along."""
        if self.judged is not None:
            return False
        return self.candidates is None or self.has("prompts")

    @model_validator(mode="after")
    def _is_judged_or_to_be_judged(self) -> Produce:
        if self.judged is not None and (self.candidates is not None or self.has("prompts")):
            other = "prompts" if self.has("prompts") else "candidates"
            raise ValueError(
                f"judged: its groups are judged already, and those of `{other}` are to be; give "
                "each a recipe of its own, with a `root` of its own"
            )
        return self


class NoiseConstants(Section):
    """Constants in the place of a judge's fitted noise, in shares of its scale: all of it, its
    highest number less its lowest, is 1. What is not given is fitted.
    """

    quality_sd: float | None = Field(None, gt=0, description="spread of one prompt's candidates")
    score_sd: float | None = Field(None, gt=0, description="noise of a score")
    duel_sd: float | None = Field(None, gt=0, description="noise of a matchup")
    item_sd: float | None = Field(
        None, ge=0, description="error that a candidate's score and its duels share"
    )
    logits_per_share: float | None = Field(
        None, gt=0, description="duel log-odds for a difference of the whole scale"
    )
    p_tie: float | None = Field(
        None, ge=0, lt=1, description="probability of a tie between equals; for davidson"
    )


#: Of the constants in points, before noise was fitted: what those were that were not given.
_IN_POINTS: dict[str, float] = {"score_sd": 0.5, "duel_sd": 0.5, "logits_per_point": 2.0}


class Rank(Section):
    """From scores and duels to an order."""

    strategy: Literal[
        "bracket", "paper", "pointwise", "pairwise", "ring", "round_robin", "duels", "random"
    ] = "bracket"
    bracket_size: Positive = Field(2, description="candidates in the top and bottom brackets (k)")
    ring_degree: int = Field(
        2, ge=2, multiple_of=2, description="opponents of each candidate on the ring; even"
    )
    fusion: Annotated[
        Literal["least_squares", "davidson"] | None, FirstDefault("least_squares")
    ] = Field(
        None,
        description="a matchup is a measurement (its log-odds), or verdicts in words with ties; by "
        "what the judge says where not given",
    )
    noise: NoiseConstants = Field(
        default_factory=NoiseConstants,
        description="constants in the place of the noise that is fitted to the judge's own groups",
    )
    score_sd: Annotated[float | None, FirstDefault(0.5)] = Field(
        None,
        gt=0,
        description="of recipes from before noise was fitted: noise of a score, in points of the "
        "scale; with any such constant nothing is fitted, and noise has to be left out",
    )
    duel_sd: Annotated[float | None, FirstDefault(0.5)] = Field(
        None, gt=0, description="likewise: noise of a duel, in points of the scale"
    )
    logits_per_point: Annotated[float | None, FirstDefault(2.0)] = Field(
        None, gt=0, description="likewise: duel log-odds for one point of quality"
    )
    quality_sd: float | None = Field(
        None, gt=0, description="likewise: spread of one prompt's candidates, in points"
    )
    p_tie: Annotated[float | None, FirstDefault(0.2)] = Field(
        None,
        ge=0,
        lt=1,
        description="likewise: probability of a tie between equals; for davidson",
    )

    @property
    def is_in_points(self) -> bool:
        """Whether this has constants in points, as recipes had before noise was fitted."""
        return any(getattr(self, name) is not None for name in (*_IN_POINTS, "quality_sd", "p_tie"))

    @model_validator(mode="before")
    @classmethod
    def _constants_in_points_are_given_whole(cls, given: Any) -> Any:
        """A former recipe asks for what it asked for: those that it left out had defaults."""
        if not isinstance(given, Mapping):
            return given
        names = (*_IN_POINTS, "quality_sd", "p_tie")
        if all(given.get(name) is None for name in names):
            return given
        first = {**_IN_POINTS, "p_tie": 0.2, "fusion": "least_squares"}
        return {**given, **{k: v for k, v in first.items() if given.get(k) is None}}

    @model_validator(mode="after")
    def _in_one_unit(self) -> Self:
        told = self.noise.model_dump(exclude_none=True)
        if told and self.is_in_points:
            raise ValueError(
                "score_sd, duel_sd, logits_per_point, quality_sd and p_tie are constants in points "
                "and noise has some in shares of the scale: give only noise (divide an sd by the "
                "scale's highest number less its lowest, and multiply logits_per_point by it)"
            )
        return self


def _points(successor: str, above: float | None = None) -> Any:
    """The field of a knob in points, as recipes had before shares of the judge's scale."""
    return Field(
        None,
        gt=above,
        ge=0,
        description=f"of recipes from before there was {successor}, in points of the scale; where "
        "given, it counts and the share does not",
    )


def _limit(points: float | None, share: float, unit: float) -> float:
    """A limit in points.

    Args:
        points: as a former recipe says it.
        share: of the scale.
        unit: points of the whole scale.
    """
    return share * unit if points is None else points


class Objections(Section):
    """When a pair is rejected."""

    min_margin_share: float = Field(
        0.075, ge=0, description="least margin, as a share of the judge's scale: 0.3 points of 1–5"
    )
    min_margin: Annotated[float | None, FirstDefault(0.3)] = _points("min_margin_share")
    min_hash_distance: float = Field(
        0.02, ge=0, le=1, description="least perceptual distance of the sides"
    )
    min_confidence: Share = Field(
        0.6, description="least probability that the chosen side is better, by margin and by duel"
    )
    max_panel_dissent: Share = Field(
        0.4,
        description="greatest share of a panel's members who prefer the rejected side, a tie "
        "counting half; of no effect where one judge alone has judged",
    )
    abstain: bool = Field(
        False,
        description="reject pairs whose duel is less confident than the judge's calibration asks, "
        "which is what train_judge.calibration.target_precision needs",
    )
    max_answer_similarity: Share = Field(
        0.95, description="greatest similarity of two answers (runs of three characters)"
    )
    min_entropy: float = Field(
        0.1, ge=0, le=6, description="least entropy of a picture's lightness, in bits"
    )
    min_pair_distance: float = Field(
        0.02,
        ge=0,
        le=0.1,
        description="least perceptual distance, of either side, to a pair already kept; 0: any",
    )
    max_per_slice: dict[str, Positive] = Field(
        default_factory=dict, description="most kept pairs for each value of a tag, by the tag"
    )
    evaluation_prompts: Annotated[list[str], PLACE] = Field(
        default_factory=list,
        description="files of prompts that no pair may have, besides evaluate.prompts",
    )
    evaluation_gram: Positive = Field(
        13, description="words in a run by which overlap with evaluation prompts is seen"
    )
    max_evaluation_overlap: Share = Field(
        0.8, description="greatest share of a prompt's runs found in evaluation prompts; 1: any"
    )
    safety_classifier: str | None = Field(
        None,
        pattern=PLUGIN,
        description="package.module:function that makes a classifier of unsafe content; none: off",
    )
    max_p_unsafe: Share = Field(0.5, description="greatest probability of being unsafe")
    plugins: list[Annotated[str, Field(pattern=PLUGIN)]] = Field(
        default_factory=list,
        description="package.module:name of objections of your own; see factory/filters/plugged_in",
    )

    def least_margins(self, units: Mapping[Task, float] | None) -> dict[Task, float]:
        """In points, by task.

        Args:
            units: points of the judge's whole scale, by task; a share is a point where not given.
        """
        return {
            task: _limit(self.min_margin, self.min_margin_share, (units or {}).get(task, 1.0))
            for task in get_args(Task)
        }


class AuditSample(Section):
    """Which kept pairs people are asked to look at; `jobs.human_audit` reads their answers."""

    size: int = Field(300, ge=0, description="pairs; 0 draws none")
    slice_by: str | None = Field(
        None, description="tag whose values share the sample by the square root of their numbers"
    )
    even_share: float = Field(
        0.5, gt=0, le=1, description="share of the sample that ignores how doubtful a pair is"
    )


class HumanAudit(Section):
    """What people said of the audit sample."""

    sheets: Annotated[list[str], PLACE] = Field(
        default_factory=list,
        description="filled sheets, CSV or JSON Lines, one or more a person; of two answers of one "
        "person to one pair, that of the later sheet counts",
    )
    num_resamples: Positive = Field(1000, description="bootstrap resamples, clustered by prompt")


class Twins(Section):
    """Words that should not matter to a judge, and how to swap them."""

    name: str = Field(description="what the words stand for, as 'gender'")
    swaps: dict[str, str] = Field(
        min_length=1, description="word of the first kind: its twin of the second, whole words"
    )


#: What is measured of every candidate, where it applies.
Attribute = Literal["brightness", "saturation", "contrast", "sharpness", "motion", "length", "text"]
#: What can be changed in a candidate.
Edit = Literal[
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "compression",
    "resolution",
    "overlay text",
    "low motion",
    "length",
]


class Audit(Section):
    """How biases are measured."""

    num_resamples: Positive = Field(1000, description="bootstrap resamples, clustered by prompt")
    attributes: list[Attribute] = Field(
        default=["brightness", "saturation", "contrast", "sharpness", "motion", "length"],
        description="what is measured of candidates, beside what the edits move",
    )
    edits: list[Edit] = Field(
        default_factory=lambda: list(get_args(Edit)),
        description="what is changed in a picture or an answer, where it applies",
    )
    num_groups: int = Field(
        96,
        ge=0,
        description="prompts whose candidates are edited; 0: the judge is not probed, and no "
        "generator that its pairs make is promoted",
    )
    num_candidates: Positive = Field(2, description="candidates of each that are edited")
    twins: list[Twins] = Field(default_factory=list, description="words that should not matter")
    false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="share of false alarms among the flagged biases"
    )
    min_points_share: float = Field(
        0.0125,
        ge=0,
        description="share of the judge's scale per sd of an attribute, or per change, that does "
        "not matter: 0.05 points of 1–5",
    )
    min_points: Annotated[float | None, Superseded(0.05)] = _points("min_points_share")
    min_logits: float = Field(0.1, ge=0, description="log-odds of a duel that do not matter")
    min_share: Share = Field(0.03, description="share of verdicts that does not matter")

    def least_points(self, unit: float) -> float:
        """Points that do not matter, on a scale of `unit` points."""
        return _limit(self.min_points, self.min_points_share, unit)


class Correct(Section):
    """What is taken out of the judge's statements before pairs are chosen."""

    attributes: bool = Field(True, description="flagged slopes, as the audit fitted them on edits")
    slices: bool = Field(True, description="confidence that differs between slices of prompts")
    max_lean: float | None = Field(
        None,
        ge=0,
        description="most by which chosen sides may lead rejected ones in any attribute, on "
        "average, in sds. null: no limit",
    )
    balance: Literal["rejecting", "weighting"] = Field(
        "rejecting",
        description="how max_lean is kept: few pairs are rejected, or pairs that lead much count "
        "for less in training",
    )


class Curate(Section):
    """From groups to pairs."""

    rank: Rank = Rank()
    pairing: Literal["best_against_worst", "near_miss", "all_above_margin"] = Field(
        "best_against_worst",
        description="the farthest apart first; the best against the nearest that is weaker by "
        "objections.min_margin_share; or all that are so far apart, the largest margin first",
    )
    pairs_per_prompt: Positive | None = Field(
        1, description="most pairs of one prompt (m); null: as many as there are"
    )
    max_uses: Positive | None = Field(
        1, description="most pairs of a prompt that share a candidate; null: no limit"
    )
    reject_unfinished: bool = Field(
        False,
        description="answers: also pair the best with one that came to no end, if there is one, "
        "beside the pairs above; it has no margin, and its end is not trained on",
    )
    objections: Objections = Objections()
    correct: Correct = Correct()
    audit_sample: AuditSample = AuditSample()

    @model_validator(mode="after")
    def _margins_are_known(self) -> Curate:
        if self.rank.strategy == "random" and self.pairing != "best_against_worst":
            raise ValueError(
                f"pairing: {self.pairing} needs margins, which rank.strategy: random has not"
            )
        return self


class Align(Training):
    """DPO of the generator: Diffusion-DPO of a pipeline, DPO of an answering model."""

    beta: float | None = Field(
        None,
        gt=0,
        description="strength of the pull to the reference; 2000 for diffusion and 0.1 for answers "
        "where not given",
    )
    variant: Literal["sigmoid", "ipo"] = Field("sigmoid", description="loss of a pair's margin")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="probability that a pair is the wrong way round"
    )
    sft_weight: float = Field(
        0.0, ge=0, description="weight of the chosen side's own error (squared, or nats a token)"
    )
    is_length_normalised: bool = Field(
        False, description="answers: log-probabilities are means over tokens, not sums"
    )
    weighting: Literal["none", "confidence", "margin"] = Field(
        "none", description="pairs count by the certainty, or by the size, of their margin"
    )
    full_margin_share: float = Field(
        0.5,
        gt=0,
        description="margin from which a pair counts in full, as a share of the judge's scale: 2 "
        "points of 1–5",
    )
    full_margin: Annotated[float | None, Superseded(2.0)] = _points("full_margin_share", above=0)
    timesteps: Literal["all", "sampler"] = Field(
        "all", description="noise levels trained on: all, or those that the generator draws with"
    )
    lora: Lora | None = Field(None, description="train adapters; all weights where not given")
    gradient_checkpointing: Annotated[bool, RESOURCE] = Field(
        False, description="compute activations again in the backward pass: less memory, more time"
    )
    sample_every: Annotated[int, RESOURCE] = Field(
        0,
        ge=0,
        description="steps between two looks at what it draws or answers, in MLflow; 0: none",
    )
    num_samples: Annotated[Positive, RESOURCE] = Field(
        4, description="held-out prompts of each look"
    )
    cache_gb: Annotated[float, RESOURCE] = Field(
        4.0, ge=0, description="memory of a worker for latents and text embeddings, in GB"
    )

    def margin_in_full(self, unit: float) -> float:
        """In points, on a scale of `unit` points."""
        return _limit(self.full_margin, self.full_margin_share, unit)


class Evaluate(Section):
    """Champion against challenger."""

    prompts: Annotated[str, PLACE] = needed(
        "evaluate.prompts", "held-out prompts; none of them may be in produce.prompts", "FILE"
    )
    images_per_prompt: Positive = Field(1, description="seeds compared for each prompt")
    oracle: str = Field(
        "none",
        description="also judge by package.module:name, which knows what is right, or by sandbox, "
        "which knows its own prompts; see factory/protocols.py",
    )
    endpoint: EndpointSpec | None = Field(
        None,
        description="also judge by this endpoint; from before `heldout_judge` could name one",
    )
    heldout_judge: HeldOutJudge | None = Field(
        None,
        description="also judge by this one, of any backend, which had no part in making the pairs",
    )
    num_witness_labels: Positive = Field(
        500,
        description="held-out labels, at most, on which a judge that had no part in the pairs is "
        "measured: what it is worth as a witness of reward hacking",
    )
    min_slice_prompts: Positive = Field(
        20, description="prompts with a tag from which gains are reported and alarms raised"
    )
    grid_prompts: Positive = Field(8, description="prompts shown in the picture grid")
    num_resamples: Positive = Field(2000, description="bootstrap resamples, clustered by prompt")

    @field_validator("oracle")
    @classmethod
    def _can_be_loaded(cls, name: str) -> str:
        return checked(name, "evaluate.oracle", "none")


def _share_of_gain(lead: Any) -> Any:
    """From a lead in shares of twins won: where 0.7 are won, 0.02 is a tenth of the gain."""
    return min(5 * lead, 1.0) if isinstance(lead, float | int) else lead


class Gates(Section):
    """What a challenger must show before it is promoted."""

    former_names: ClassVar[Mapping[str, Renamed]] = {
        "max_judge_lead": Renamed("max_unseen_gain", _share_of_gain),
        # In sds of all outputs, of which 3 could hardly be reached: kept in proportion.
        "max_attribute_drift": Renamed("max_twin_drift", lambda limit: limit / 3),
        "min_selection_ratio": Renamed(
            "max_slice_gap_share",
            None,
            "a ratio to the slice most selected blocks judges where prompts differ in difficulty; "
            "remove it, or make it 0",
            asked_nothing=0.0,
        ),
    }

    min_judge_accuracy: Share = Field(
        0.7, description="judge: accuracy on held-out labels without ties"
    )
    max_flip_rate: Share = Field(0.2, description="judge: verdicts that change with the order")
    min_win_rate: Share = Field(
        0.5, description="generator: lower bound of the win rate, at the level of the round"
    )
    max_false_promotions: Share = Field(
        0.05,
        description="generator: chance that a loop promotes, in any of its rounds, a challenger "
        "that gains nothing; each round spends a part of it, which its plan tells",
    )
    max_failure_excess: Share = Field(
        0.05,
        description="generator: share of outputs that fail, beyond the champion's; upper bound",
    )
    max_twin_drift: float = Field(
        1.0,
        gt=0,
        description="generator: mean shift of any attribute from twin to twin since the generator "
        "that the recipe starts from, in standard deviations of its outputs for one prompt (of all "
        "its outputs with evaluate.images_per_prompt 1)",
    )
    min_diversity: Share = Field(
        0.5,
        description="generator: diversity of the outputs for one prompt, as a share of the "
        "champion's; where evaluate.images_per_prompt is at least 2",
    )
    max_unseen_gain: Share = Field(
        0.1,
        description="reward hacking: share of the gain by the judge of the pairs that judges which "
        "had no part in them do not see, beyond what their accuracy on labels explains; 1: no gate",
    )
    max_position_lean: Share = Field(
        0.1, description="bias: share above one half of single verdicts for the side shown first"
    )
    max_attribute_slope_share: float = Field(
        0.075,
        ge=0,
        description="bias: share of the judge's scale for one sd of an attribute, after correction",
    )
    max_attribute_slope: Annotated[float | None, Superseded(0.3)] = _points(
        "max_attribute_slope_share"
    )
    max_duel_slope: float = Field(
        0.6, ge=0, description="bias: log-odds of a duel for one sd of an attribute, corrected"
    )
    max_attribute_excess: float | None = Field(
        0.2,
        ge=0,
        description="bias: preference (-1 to 1) beyond people's per sd, corrected. null: no gate, "
        "for judges that are held against no labels, where it would not be passed",
    )
    max_damage_gain_share: float = Field(
        0.025,
        ge=0,
        description="bias: share of the scale that compression or text across a picture may gain; "
        "upper bound",
    )
    max_damage_gain: Annotated[float | None, Superseded(0.1)] = _points("max_damage_gain_share")
    max_twin_gap_share: float = Field(
        0.075, ge=0, description="bias: share of the scale that one twin word adds over the other"
    )
    max_twin_gap: Annotated[float | None, Superseded(0.3)] = _points("max_twin_gap_share")
    max_slice_gap_share: float = Field(
        0.075,
        ge=0,
        description="bias: share of the scale that a slice gets beyond what people give; the level "
        "holds for all slices together",
    )
    max_slice_gap: Annotated[float | None, Superseded(0.3)] = _points("max_slice_gap_share")
    min_media_drop_share: float = Field(
        0.025,
        ge=0,
        description="bias: share of the scale lost without the right media; lower bound: a judge "
        "must look",
    )
    min_media_drop: Annotated[float | None, Superseded(0.1)] = _points("min_media_drop_share")
    max_calibration_error: Share | None = Field(
        None, description="bias: calibration error on any slice of labels; null: no gate"
    )

    def in_points(self, name: str, unit: float) -> float:
        """A limit that is a share of the scale, in points.

        Args:
            name: without `_share`.
            unit: points of the judge's whole scale.
        """
        return _limit(getattr(self, name), getattr(self, f"{name}_share"), unit)


class Limits(Section):
    """When the loop ends before its last round. Looked at before each stage; the work of finished
    stages counts, over all runs of the loop.
    """

    max_hours: float | None = Field(None, gt=0, description="hours of all stages together")
    max_gpu_hours: float | None = Field(
        None, gt=0, description="GPU hours of all stages together, by the GPUs that they reserve"
    )
    max_kept_rounds: Positive | None = Field(
        None, description="rounds in a row without a promotion"
    )


class Storage(Section):
    """Where `s3://` paths lie, and how data sets are laid out. Credentials are never part of a
    recipe: they come from the environment or the machine's role.
    """

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/@\s]+$",
        description="S3 server; else as the environment says, else AWS",
    )
    region: str | None = Field(
        None, description="else AWS_REGION, else the profile's, else us-east-1"
    )
    profile: str | None = Field(None, description="of ~/.aws; else AWS_PROFILE")
    checksums: Annotated[Literal["when_supported", "when_required"] | None, RESOURCE] = Field(
        None,
        description="of what is written to and read from S3: when_required for servers that refuse "
        "those of newer clients; else AWS_REQUEST_CHECKSUM_CALCULATION, else when_supported",
    )
    cache: Annotated[str | None, PLACE] = Field(
        None, description="local copies of models; else in ~/.cache"
    )
    max_inline_bytes: Positive = Field(
        16 * 1024, description="bytes; larger media lie outside their rows, many in a pack"
    )
    row_group_bytes: Positive = Field(32 * 1024**2, description="bytes of rows in one row group")
    file_bytes: Positive = Field(256 * 1024**2, description="bytes of one Parquet file")


class Recipe(Section):
    """The whole recipe."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="names the runs in MLflow")
    seed: int = Field(0, ge=0)
    root: Annotated[str, PLACE] = Field(
        description="directory of all outputs: data, models, reports, tracking"
    )
    num_rounds: Positive = Field(1, description="rounds of jobs.loop")
    num_cpus: Positive = Field(4, description="logical CPUs of a local Ray")
    address: str = Field("local", description="'local', or the Ray cluster to join ('auto')")
    tracking_uri: str | None = Field(
        None, description="MLflow; sqlite inside the root where not given"
    )
    limits: Limits = Limits()
    storage: Storage = Storage()
    generator: GeneratorSpec = needed(
        "generator", "the model that draws candidates", "{path: DIRECTORY_OR_HUB_NAME}"
    )
    judge: JudgeSpec = needed(
        "judge", "the model that is to judge", "{path: DIRECTORY_OR_HUB_NAME}"
    )
    labels: Labels = needed("labels", "what people said of pairs", "{path: LABEL_ROWS}")
    train_judge: TrainJudge = needed(
        "train_judge",
        "how the judge is trained",
        "{num_steps: 400, batch_size: 32, learning_rate: 1.0e-4}",
    )
    localise: Localise = needed(
        "localise",
        "a line of judges of its own, its labels and how it is trained",
        "{name: judge-north, labels: LABEL_ROWS, num_steps: 60, batch_size: 16, "
        "learning_rate: 1.0e-4}",
    )
    distil: Distil = needed(
        "distil",
        "how a lighter judge is trained",
        "{num_steps: 200, batch_size: 16, learning_rate: 1.0e-4}",
    )
    criteria: Criteria = Criteria()
    produce: Produce = Produce()
    audit: Audit = Audit()
    curate: Curate = Curate()
    human_audit: HumanAudit = HumanAudit()
    align: Align = needed(
        "align",
        "how the generator is trained",
        "{num_steps: 400, batch_size: 16, learning_rate: 1.0e-5}",
    )
    evaluate: Evaluate = Evaluate()
    gates: Gates = Gates()

    @property
    def is_evaluated(self) -> bool:
        """Whether a round compares what it has aligned with the champion: else none is promoted."""
        return self.has("align") and self.evaluate.has("prompts")

    @property
    def calibration(self) -> Calibrate:
        """Of the judge; as by default where the recipe trains none."""
        return self.train_judge.calibration if self.has("train_judge") else Calibrate()

    @model_validator(mode="after")
    def _labels_come_from_somewhere(self) -> Recipe:
        has_none = self.has("labels") and self.labels.path is None and self.labels.prompts is None
        if has_none:
            raise ValueError("labels: give 'path' (label rows) or 'prompts' (to simulate labels)")
        return self

    @model_validator(mode="after")
    def _pairs_are_weighed_by_what_they_have(self) -> Recipe:
        by = self.align.weighting if self.has("align") else "none"
        if self.curate.reject_unfinished and by != "none":
            raise ValueError(
                "curate.reject_unfinished: such pairs have no margin, by which align.weighting: "
                f"{by} would weigh them; make it none"
            )
        return self

    @model_validator(mode="after")
    def _generators_are_told_apart(self) -> Recipe:
        names = [one.name for one in self.produce.also]
        if self.has("generator"):
            names.append(self.generator.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"produce.also: two generators are named {name!r}; seeds and ids come from "
                    "names, so give each its own"
                )
        return self

    @model_validator(mode="after")
    def _every_line_of_judges_has_a_name_of_its_own(self) -> Recipe:
        taken: dict[str, str] = {}
        for key in ("judge", "localise", "distil"):
            if self.has(key):
                name = getattr(self, key).name
                if name in taken:
                    raise ValueError(f"{key}.name: {name!r} is {taken[name]}.name too")
                taken[name] = key
        return self

    @model_validator(mode="after")
    def _calibration_is_fitted_where_it_is_used(self) -> Recipe:
        users = {
            "produce.is_calibrated": self.produce.is_calibrated,
            "curate.objections.abstain": self.curate.objections.abstain,
        }
        for key, is_used in users.items():
            if is_used and self.calibration.fit_share == 0:
                raise ValueError(
                    f"{key}: there is no calibration with train_judge.calibration.fit_share: 0"
                )
        return self
