"""The study of criteria: its record, its figures, and what of it a second run finds again."""

import math

import jsonschema
import pytest
import torch
from scipy.stats import spearmanr
from workers import vgg_of

from labkit import criteria, measure, models, pruning, records, training
from labkit.methods.criteria.study import STAGES
from labkit.settings import PROFILES, Recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny network, trained for one epoch, and its study at two ratios."""
    from workers import tiny_dataset

    folder, data = tmp_path_factory.mktemp("lab2"), tiny_dataset()
    short = Recipe(epochs=1, batch=50, schedule="linear")
    network = models.build(vgg_of([6], [8]), seed=0)
    run = training.fit(network, data, short, folder=folder / "trained", kind=criteria.TRAINED)
    return run, data, short, criteria.study(run, data, short, folder / "study", (0.3, 0.5))


def test_the_study_has_every_stage_of_every_criterion_and_fits_its_kind(made):
    run, _, _, study = made
    assert list(study.results["validation"]) == list(study.results["seconds"]) == list(criteria.STUDIED)
    for stages in study.results["validation"].values():
        assert list(stages) == list(STAGES) and all(len(values) == 2 for values in stages.values())
    for record in (run, study, *records.load_all(study.folder.parent / "tuned")):
        content = records.read_json(record.folder / "record.json")
        jsonschema.validate(content, criteria.KINDS[record.kind])


def test_each_accuracy_is_that_of_the_network_it_speaks_of(made):
    run, data, _, study = made
    model = run.model()
    plan = pruning.uniform_plan(pruning.filter_norms(model), 0.5)
    thin, found = pruning.thin(model, plan), study.results["validation"]["filter-l1"]
    assert found["as_it_stands"][1] == training.evaluate(thin, data.validation)
    again = training.recalibrate(thin, data.train[:1000])
    assert found["recalibrated"][1] == training.evaluate(again, data.validation)
    tuned = records.load(study.folder.parent / "tuned" / "filter-l1-50")
    assert (
        pruning.ChannelPlan.from_dict(tuned.plan) == plan and found["tuned"][1] == tuned.results["validation_accuracy"]
    )
    assert measure.parameters(tuned.model()) == measure.parameters(thin)


def test_a_study_is_made_once_and_another_training_makes_another(made, capsys):
    run, data, short, study = made
    again = criteria.study(run, data, short, study.folder, (0.3, 0.5))
    assert again.results == study.results and "already there" in capsys.readouterr().out
    assert study.config["parent_config"] == records.identity(run)


def test_rank_correlations_are_spearmans_over_groups_that_tell_channels_apart():
    one = {"a": torch.tensor([1.0, 2, 3, 4]), "b": torch.tensor([1.0, 3, 2]), "flat": torch.ones(3)}
    other = {"a": torch.tensor([2.0, 1, 4, 3]), "b": torch.tensor([9.0, 5, 1]), "flat": torch.rand(3)}
    expected = (spearmanr(one["a"], other["a"])[0] + spearmanr(one["b"], other["b"])[0]) / 2
    found = criteria.rank_correlations({"one": one, "other": other})
    assert found[0, 1] == found[1, 0] and math.isclose(found[0, 1], expected)
    assert found.diag().tolist() == [1, 1]


def test_inside_a_layer_dividing_by_the_number_of_weights_changes_nothing():
    """Which is why the study leaves the divided norm out."""
    model = models.build(vgg_of([6], [8]), seed=0)
    plain, divided = (
        pruning.uniform_plan(pruning.CRITERIA[name](model, None, 0), 0.5)
        for name in ("filter-l1", "filter-l1-per-weight")
    )
    assert plain.kept == divided.kept
    assert set(pruning.CRITERIA) - set(criteria.STUDIED) == {"filter-l1-per-weight"}


def test_the_recipe_and_network_follow_the_profile():
    for profile in PROFILES.values():
        recipe = criteria.recipe(profile)
        assert (recipe.epochs, recipe.learning_rate) == (1, pytest.approx(0.1 * profile.train.learning_rate))
        assert criteria.network(profile, 7).widths == models.named(profile.network, profile.width / 2).widths


def test_figures_and_table_show_every_criterion_and_the_guess(made):
    *_, study = made
    figure = criteria.comparison(study, ("apoz", 0.5))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(names) == sorted(criteria.STUDIED)
    tuned = [study.results["validation"][name]["tuned"][-1] for name in names]
    assert tuned == sorted(tuned, reverse=True), "the best is on top"
    *_, guess = figure.axes[-1].lines
    assert guess.get_xdata()[0] == 0.5 and guess.get_ydata()[0] == names.index("apoz")
    assert len(criteria.figures(study.folder.parent)) == 3
    assert criteria.table(study).count("\n") == 1 + 2 * len(criteria.STUDIED)
    assert f"| 50% | {names[0]} |" in criteria.table(study)
    assert criteria.before_and_after(study, 0.5).get_label()
    shown = [text.get_text() for text in criteria.costs(study).axes[0].texts]
    assert len(shown) == len(criteria.STUDIED) and all(text.endswith(" s") for text in shown)


def test_a_guess_at_no_criterion_is_refused(made, refused):
    *_, study = made
    for guess in (("magnitude", 0.5), ("apoz", 50)):
        with refused("guess"):
            criteria.comparison(study, guess)


def test_drawings_say_in_words_what_they_show(refused):
    assert "apoz" in criteria.where_criteria_look().get_label()
    rows = criteria.rows_by_norm(torch.tensor([[3.0, -4.0], [6.0, 0.0]]), {"L2": torch.tensor([5.0, 6.0])})
    assert "5, 6" in rows.get_label()
    cancels = torch.tensor([[1.0, 0, -1], [0, 0, 0], [-1, 0, 1]])
    figure = criteria.filter_on_maps({"cancels": cancels, "adds": torch.ones(3, 3)}, {"sky": torch.ones(6, 6)})
    assert "cancels on sky 0" in figure.get_label() and "adds on sky 9" in figure.get_label()
    assert criteria.errors_by_layer({"lasso": {"a": 0.1, "b": 0.0}}, "title").axes[0].patches
    with refused("no errors"):
        criteria.errors_by_layer({}, "title")
