"""The whole configuration of a project folder, read once: settings, scale, data sets, papers and their recipes."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from tesserae.config import latents, seed_counts
from tesserae.config.claims import Claim, read_claims
from tesserae.config.domains import TASKS, Domains, unfit
from tesserae.config.errors import ConfigError, together
from tesserae.config.files import read_yaml, validated
from tesserae.config.probing import Probes
from tesserae.config.recipes import concrete, read_recipe
from tesserae.config.registry import SECTIONS
from tesserae.config.reported import Report, read_reports
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced
from tesserae.config.scales import Scale
from tesserae.config.seeds import of_seed, seed_of
from tesserae.config.shown import printed_cells, wrong_claims, wrong_contradictions, wrong_figures, wrong_tables
from tesserae.config.shown_studies import wrong_studies
from tesserae.config.tables import read_printed, wrong_labels
from tesserae.config.types import Cluster, Datasets, Decoded, Equivalents, Paper, Settings

EQUIVALENTS = Path("config/equivalent-code.yaml")
CLUSTER = Path("config/cluster.yaml")
PROBES = Path("config/probes.yaml")
DOMAINS = Path("config/domains.yaml")


@dataclass(frozen=True)
class Project:
    """A project folder under one scale. All paths in it are relative to `root`."""

    root: Path
    settings: Settings
    scale: Scale
    datasets: Datasets
    papers: dict[str, Paper]
    saes: dict[str, ResolvedRecipe]  # one for all seeds
    tokenizers: dict[str, ResolvedRecipe]
    generators: dict[str, ResolvedRecipe]
    every_tokenizer: dict[str, ResolvedRecipe]  # of the first seed, with those that this scale does without
    every_generator: dict[str, ResolvedRecipe]
    decoded: dict[str, Decoded]
    claims: dict[str, list[Claim]]  # of each paper
    reported: dict[str, list[Report]]  # of each paper
    omitted: dict[str, str]  # name -> why this scale does without it
    seeds: dict[str, int]  # of each tokenizer, generator and decoded pair that is kept: how often it is trained
    equivalents: Equivalents
    cluster: Cluster
    probes: Probes
    domains: Domains

    @cached_property
    def context(self) -> Context:
        return Context(
            self.scale,
            Path(f"config/scales/{self.scale.scale}.yaml"),
            self.datasets.datasets,
            Path("config/datasets.yaml"),
        )

    def sae(self, wanted_by: ResolvedRecipe) -> ResolvedRecipe | None:
        """The SAE whose concepts a tokenizer learns to name, or None; ConfigError if there is no such recipe."""
        name = getattr(wanted_by.typed, "sae", None)
        if name is not None and name not in self.saes:
            file, key = wanted_by.where("sae")
            raise ConfigError(file, key, f"unknown SAE recipe {name!r}", f"one of {', '.join(sorted(self.saes))}")
        return self.saes.get(name)

    def proxy(self, wanted_by: ResolvedRecipe) -> ResolvedRecipe | None:
        """The tokenizer whose codes another one learns, or None; ConfigError if there is no such recipe.

        One that the scale omits will do where nothing is trained: then its settings alone are asked for.
        """
        name = getattr(wanted_by.typed, "proxy", None)
        if name is None:
            return None
        if name not in self.tokenizers and wanted_by.typed.source == "official":
            name = seed_of(name)[0]
            if name in self.every_tokenizer:
                return self.every_tokenizer[name]
        return self.tokenizer(name, wanted_by, "proxy")

    def latents_of(self, wanted_by: ResolvedRecipe) -> ResolvedRecipe | None:
        """The tokenizer in whose latents another one draws, or None; ConfigError if there is no such recipe."""
        name = latents.named(wanted_by, self.scale)
        return None if name is None else self.tokenizer(name, wanted_by, "latents_of")

    def tokenizer(self, name: str, wanted_by: ResolvedRecipe, key: str = "tokenizer") -> ResolvedRecipe:
        """The tokenizer a recipe names; ConfigError at the recipe if there is none."""
        if name not in self.tokenizers:
            file, key = wanted_by.where(key)
            raise ConfigError(
                file, key, f"unknown tokenizer recipe {name!r}", f"one of {', '.join(sorted(self.tokenizers))}"
            )
        return self.tokenizers[name]


def read_project(
    root: Path, scale: str | None = None, papers: list[str] | None = None, seeds: Mapping[str, int] | None = None
) -> Project:
    """Read and check everything below `root`/config.

    `scale` and `papers` override those of config.yaml, `seeds` those of the scale.
    """
    settings = _read(Settings, root, Path("config/config.yaml"))
    if papers is not None:
        settings = settings.model_copy(update={"papers": papers})
    name = scale or settings.scale
    scale_file = Path(f"config/scales/{name}.yaml")
    scale_ = _read(Scale, root, scale_file)
    if scale_.scale != name:
        raise ConfigError(scale_file, "scale", f"says {scale_.scale!r}", f"write {name!r}: the file's own name")
    if seeds is not None:
        scale_ = scale_.model_copy(update={"seeds": dict(seeds)})
    datasets = _read(Datasets, root, Path("config/datasets.yaml"))
    probes, domains = _read(Probes, root, PROBES), _read(Domains, root, DOMAINS)
    problems = [
        *_wrong_probes(scale_, scale_file, probes, datasets),
        *_wrong_domains(scale_, scale_file, domains, datasets),
    ]
    if problems:
        raise together(problems)
    read: dict[str, Paper] = {}
    printed: dict[str, list[dict]] = {}
    recipes: dict[str, dict[str, ResolvedRecipe]] = {section: {} for section in SECTIONS}
    for paper in settings.papers:
        file = Path(f"config/papers/{paper}.yaml")
        read[paper] = _read(Paper, root, file)
        problems = _read_recipes(read[paper], file, recipes, scale_, scale_file)
        printed[paper] = read_printed(root, read[paper], file)
        problems += _wrong_shown(read[paper], file, printed[paper], recipes)
        if problems:
            raise together(problems)
    claims = {name: _read_claims(root, paper, printed[name]) for name, paper in read.items() if paper.claims}
    reported = {
        name: read_reports(root, Path(paper.reported), printed[name]) if paper.reported else []
        for name, paper in read.items()
    }
    decoded = {name: found for paper in read.values() for name, found in paper.decoded.items()}
    trained, elsewhere = {name for found in recipes.values() for name in found}, _elsewhere(root, settings.papers)
    problems = _wrong_scale(scale_, scale_file, trained, {*decoded}, elsewhere)
    problems += _wrong_spread(scale_, scale_file, {*recipes["generators"]}, elsewhere)
    problems += _wrong_seeds(scale_, scale_file, (trained | {*decoded}) - recipes["saes"].keys(), elsewhere)
    if problems:
        raise together(problems)
    if problems := [*_wrong_studies(read, printed, recipes, elsewhere)]:
        raise together(problems)
    made_from = _made_from(scale_, recipes, decoded)
    omitted = _omitted(scale_, scale_file, made_from)
    saes = {name: recipe for name, recipe in recipes.pop("saes").items() if name not in omitted}
    once = omitted.keys() | saes.keys()
    counts = seed_counts.counts(scale_.seeds, {name: of for name, of in made_from.items() if name not in once})
    seeded = {section: _seeded(found, counts, scale_file) for section, found in recipes.items()}
    return Project(
        root,
        settings,
        scale_,
        datasets,
        read,
        saes,
        **seeded,
        every_tokenizer=recipes["tokenizers"],
        every_generator=recipes["generators"],
        claims=claims,
        reported=reported,
        decoded=_seeded_decoders(decoded, counts),
        omitted=omitted,
        seeds=counts,
        equivalents=_read(Equivalents, root, EQUIVALENTS),
        cluster=_read(Cluster, root, CLUSTER),
        probes=probes,
        domains=domains,
    )


def _read_recipes(
    paper: Paper, file: Path, found: dict[str, dict[str, ResolvedRecipe]], scale: Scale, scale_file: Path
) -> list[ConfigError]:
    """Add a paper's recipes to those `found`, by section; what is wrong with the others."""
    problems: list[ConfigError] = []
    for section, others in found.items():
        entries = getattr(paper, section)
        for name in concrete(entries):
            if name in others:
                problems.append(
                    ConfigError(
                        file,
                        f"{section}.{name}",
                        f"also a recipe of {others[name].file}",
                        "recipes of all papers share one name space: rename one",
                    )
                )
                continue
            try:
                others[name] = read_recipe(section, name, entries, file, scale, scale_file)
            except ConfigError as error:
                problems.append(error)
    return problems


def _wrong_shown(
    paper: Paper, file: Path, lines: list[dict], recipes: dict[str, dict[str, ResolvedRecipe]]
) -> list[ConfigError]:
    """What is wrong with a paper's tables and figures."""
    known = {name: recipe for some in recipes.values() for name, recipe in some.items()}
    return [
        *wrong_labels(paper, file, lines),
        *wrong_tables(paper, file, known),
        *wrong_figures(paper, file, printed_cells(lines)),
        *wrong_contradictions(paper, file),
        *_wrong_front(paper, file),
    ]


def _wrong_studies(
    papers: dict[str, Paper],
    printed: dict[str, list[dict]],
    recipes: dict[str, dict[str, ResolvedRecipe]],
    elsewhere: set[str],
) -> Iterator[ConfigError]:
    """What is wrong with the papers' studies, which may name recipes of all papers; their names are one name space."""
    owners: dict[str, str] = {}
    for name, paper in papers.items():
        file = Path(f"config/papers/{name}.yaml")
        for study in paper.studies:
            if study in owners:
                yield ConfigError(file, f"studies.{study}", f"also a study of {owners[study]}", "rename one")
            owners[study] = name
        known = [{*recipes[section], *elsewhere} for section in ("tokenizers", "generators")]
        yield from wrong_studies(paper, file, printed_cells(printed[name]), *known)


def _read_claims(root: Path, paper: Paper, lines: list[dict]) -> list[Claim]:
    """A paper's claims; ConfigError for those about numbers that are neither printed nor measured."""
    claims = read_claims(root, Path(paper.claims))
    if problems := [*wrong_claims(paper, claims, Path(paper.claims), printed_cells(lines))]:
        raise together(problems)
    return claims


def _wrong_scale(
    scale: Scale, file: Path, trained: set[str], decoded: set[str], elsewhere: set[str]
) -> list[ConfigError]:
    """Names in a scale's file that are no recipe's, of all papers."""
    unused = sorted({*scale.exceptions} - trained - elsewhere)
    known = trained | decoded | elsewhere
    idle = [
        (place, pattern)
        for place, group in enumerate(scale.omit)
        for pattern in group.recipes
        if not any(fnmatchcase(name, pattern) for name in known)
    ]
    return [
        *_wrong_systems(scale, file),
        *(
            ConfigError(file, f"exceptions.{name}", "no such recipe", f"one of {', '.join(sorted(trained))}")
            for name in unused
        ),
        *(
            ConfigError(file, f"omit.{place}.recipes: {pattern}", "no recipe has such a name", _near(pattern, known))
            for place, pattern in idle
        ),
    ]


def _wrong_seeds(scale: Scale, file: Path, known: set[str], elsewhere: set[str]) -> list[ConfigError]:
    """Patterns of seeds that no recipe's name matches; sparse autoencoders have one seed for all."""
    return [
        ConfigError(file, f"seeds.{pattern}", "no recipe with seeds has such a name", _near(pattern, known))
        for pattern in scale.seeds
        if pattern != seed_counts.DEFAULT and not any(fnmatchcase(name, pattern) for name in known | elsewhere)
    ]


def _wrong_spread(scale: Scale, file: Path, generators: set[str], elsewhere: set[str]) -> list[ConfigError]:
    """Names of no generator among those whose scatter can be asked for."""
    return [
        ConfigError(file, f"spread.recipes.{place}", f"no generator recipe {name!r}", _near(name, generators))
        for place, name in enumerate(scale.spread.recipes if scale.spread else ())
        if name not in generators | elsewhere
    ]


def _wrong_systems(scale: Scale, file: Path) -> Iterator[ConfigError]:
    """Settings of a training for systems that there are not: a misspelt name would leave its system without them."""
    for section, systems in SECTIONS.items():
        key = f"{section.removesuffix('s')}_training"
        training = getattr(scale, key)
        named = {part: getattr(training, part) for part in ("lrs", "batches", "steps_per_epochs")}
        named["muon.lrs"] = training.muon.lrs if training.muon else {}
        for part, values in named.items():
            for name in values.keys() - systems.keys():
                yield ConfigError(file, f"{key}.{part}.{name}", "no such system", f"one of {', '.join(systems)}")


def _wrong_probes(scale: Scale, file: Path, probes: Probes, datasets: Datasets) -> Iterator[ConfigError]:
    """Probes of a scale that there are not, and what they look at that nothing is or that has no such answers."""
    if both := sorted(probes.scenes.keys() & datasets.datasets.keys()):
        yield ConfigError(PROBES, f"scenes.{both[0]}", "also a data set of config/datasets.yaml", "rename one")
    for probe, data in scale.probes.data.items():
        key = f"probes.data.{probe}"
        if probe not in probes.probes:
            yield ConfigError(file, key, "no such probe", f"one of {', '.join(probes.probes)} ({PROBES})")
            continue
        task = probes.probes[probe].task
        if task == "classes":
            known = {name for name, entry in datasets.datasets.items() if hasattr(entry, "classes")}
        else:
            known = {name for name, entry in probes.scenes.items() if entry.provider.endswith(task)}
        if data not in known:
            problem = f"{data!r} is no set of images for a probe of {task}"
            yield ConfigError(file, key, problem, f"one of {', '.join(sorted(known))}")


def _wrong_domains(scale: Scale, file: Path, domains: Domains, datasets: Datasets) -> Iterator[ConfigError]:
    """Domains of a scale that there are not, sets that nobody described or of another task, and networks likewise."""
    if both := sorted(domains.sets.keys() & datasets.datasets.keys()):
        yield ConfigError(DOMAINS, f"sets.{both[0]}", "also a data set of config/datasets.yaml", "rename one")
    for part, entries in (("data", scale.domains.data), ("networks", scale.domains.networks)):
        for name, entry in entries.items():
            key = f"domains.{part}.{name}"
            if name not in domains.domains:
                yield ConfigError(file, key, "no such domain", f"one of {', '.join(domains.domains)} ({DOMAINS})")
                continue
            task = domains.domains[name].task
            if part == "networks":
                if problem := unfit(task, entry):
                    yield ConfigError(file, key, problem, "name one of these")
                continue
            known = [other for other, described in domains.sets.items() if TASKS[described.provider] == task]
            if entry not in known:
                problem = f"{entry!r} is no set of images for a task of {task}"
                yield ConfigError(file, key, problem, f"one of {', '.join(known)} ({DOMAINS})")


def _near(pattern: str, known: set[str]) -> str:
    """Names that a pattern may have meant."""
    close = difflib.get_close_matches(pattern.replace("*", ""), sorted(known), n=5, cutoff=0.5)
    return f"such as {', '.join(close)}" if close else f"one of {', '.join(sorted(known))}"


def _wrong_front(paper: Paper, file: Path) -> Iterator[ConfigError]:
    """What stands for a paper on the report's first page and is not among what it shows."""
    for kind, known in (("table", paper.tables), ("figure", paper.figures)):
        name = getattr(paper.front, kind)
        if name not in known:
            yield ConfigError(file, f"front.{kind}", f"no {kind} {name!r}", f"one of {', '.join(known)}")


def _elsewhere(root: Path, papers: list[str]) -> set[str]:
    """Names of the recipes of papers that are not run: scales speak of all papers."""
    files = [file for file in (root / "config/papers").glob("*.yaml") if file.stem not in papers]
    sections = [read_yaml(file).get(section) for file in files for section in (*SECTIONS, "decoded")]
    return {name for found in sections if isinstance(found, dict) for name in found}


# ---- what a scale does without, and what it does several times -------------------------------------------------


def _made_from(
    scale: Scale, recipes: dict[str, dict[str, ResolvedRecipe]], decoded: dict[str, Decoded]
) -> dict[str, list[str]]:
    """Every recipe -> those that it is made from."""
    named = {
        name: [latents.named(recipe, scale), *(getattr(recipe.typed, key, None) for key in _sources(recipe))]
        for some in recipes.values()
        for name, recipe in some.items()
    } | {name: [entry.generator, entry.decoder] for name, entry in decoded.items()}
    return {name: [source for source in sources if source is not None] for name, sources in named.items()}


def _omitted(scale: Scale, file: Path, made_from: dict[str, list[str]]) -> dict[str, str]:
    """Recipes that the scale omits, with the reason.

    ConfigError for a recipe that stands in groups of two reasons, and for one that is omitted while a kept one is made
    from it: what is not run is to be read in the scale's file, not to be found out.
    """
    places = {
        name: [place for place, group in enumerate(scale.omit) if any(fnmatchcase(name, p) for p in group.recipes)]
        for name in made_from
    }
    found = {name: scale.omit[places[name][0]].reason for name in made_from if places[name]}
    problems = [
        ConfigError(
            file,
            f"omit.{of[1]}.recipes",
            f"{name} is omitted in omit.{of[0]} already, for another reason",
            "let one group alone name it",
        )
        for name, of in places.items()
        if len({scale.omit[place].reason for place in of}) > 1
    ]
    for name in found:
        if users := _kept_users(name, made_from, found.keys()):
            problems.append(
                ConfigError(
                    file,
                    f"omit.{places[name][0]}.recipes",
                    f"{name} is omitted, and {', '.join(users)} {'is' if len(users) == 1 else 'are'} made from it",
                    f"omit {'it' if len(users) == 1 else 'them'} too, or keep {name}",
                )
            )
    if problems:
        raise together(problems)
    return found


def _sources(recipe: ResolvedRecipe) -> tuple[str, ...]:
    """Keys of a recipe that name what it is made from, beside a first stage."""
    learns = getattr(recipe.typed, "source", "training") == "training"  # of a proxy, published weights have a copy
    return ("finetune", "continues", "tokenizer", "sae", *(["proxy"] if learns else []))


def _kept_users(name: str, made_from: dict[str, list[str]], omitted: Collection[str]) -> list[str]:
    """What is made from a recipe, directly or through others, and is not omitted."""
    users: dict[str, None] = {name: None}
    while more := [one for one, sources in made_from.items() if one not in users and users.keys() & {*sources}]:
        users |= dict.fromkeys(more)
    return [one for one in users if one not in omitted]


def _seeded(found: dict[str, ResolvedRecipe], counts: dict[str, int], scale_file: Path) -> dict[str, ResolvedRecipe]:
    """Every recipe that is kept once for each of its seeds, made from what has the same seed."""
    kept = {name: recipe for name, recipe in found.items() if name in counts}
    return kept | {
        of_seed(name, seed): _with_seed(recipe, seed, scale_file)
        for seed in range(2, max(counts.values(), default=1) + 1)
        for name, recipe in kept.items()
        if seed <= counts[name]
    }


def _with_seed(recipe: ResolvedRecipe, seed: int, scale_file: Path) -> ResolvedRecipe:
    first = recipe["training.seed"]
    number = first.value + seed - 1
    training = recipe.typed.training.model_copy(update={"seed": number})
    update = {"training": training}
    leaves = recipe.leaves | {"training.seed": Sourced(number, f"{scale_file}: seeds (the recipe: {first.value})")}
    for key in ("tokenizer", "finetune", "continues", "proxy", "latents_of"):
        source = getattr(recipe.typed, key, None)
        if source is not None:
            update[key] = of_seed(source, seed)
            leaves[key] = Sourced(update[key], recipe[key].origin)
    return replace(recipe, name=of_seed(recipe.name, seed), typed=recipe.typed.model_copy(update=update), leaves=leaves)


def _seeded_decoders(decoded: dict[str, Decoded], counts: dict[str, int]) -> dict[str, Decoded]:
    return {
        of_seed(name, seed): Decoded(generator=of_seed(entry.generator, seed), decoder=of_seed(entry.decoder, seed))
        for seed in range(1, max(counts.values(), default=1) + 1)
        for name, entry in decoded.items()
        if seed <= counts.get(name, 0)
    }


def _read(model, root: Path, file: Path):
    try:
        content = read_yaml(root / file)
    except ConfigError as error:
        raise ConfigError(file, error.key, error.problem, error.remedy) from None
    return validated(model, content, file)
