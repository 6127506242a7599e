"""What a tick and a bar mean, rule by rule, and the tests that go red when a rule is broken."""

import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Rule(NamedTuple):
    """One rule: its short name, and path::name of what guards it."""

    name: str
    tests: list[str]


def _tests(folder: str, file: str, *names: str) -> list[str]:
    return [f"tests/{folder}/test_{file}.py::test_{name}" for name in names]


core, replay, live = (partial(_tests, folder) for folder in ("unit/domain", "replay", "live"))


RULES = {
    "S1": Rule("[open_time, close_time)", [
        *core("partials", "a_trade_on_the_boundary_opens_the_next_bar"),
        *core("quote_bars", "a_quote_on_the_boundary_opens_the_next_bar"),
        *core("builder_rules", "four_hours_and_days_are_those_of_the_session"),
        *core("sessions", "a_bar_holds_what_it_is_asked_for"),
    ]),
    "S2": Rule("key, and event or ingest time", [
        *core("partials", "symbols_and_venues_have_their_own_bars"),
        *core("builder_rules", "the_clock_of_a_series_may_be_when_its_ticks_were_first_seen"),
        *core("plan", "ingest_time_is_the_clock_of_the_series_that_say_so"),
    ]),
    "S3": Rule("open and close by rank, never by arrival", [
        *core("partials", "open_and_close_go_by_time_then_sequence_not_by_arrival",
              "trade_ids_decide_between_equal_times_and_sequences",
              "content_decides_between_trades_that_are_else_equal",
              "the_pass_over_columns_equals_one_trade_after_another"),
        *core("bars", "any_order_and_any_cut_into_blocks_gives_the_same_bars"),
        *core("builder", "arrival_within_grace_changes_no_bar",
              "late_trades_lead_to_the_same_values_as_timely_ones"),
        *core("builder_properties", "arrival_within_grace_changes_no_bar_and_no_history"),
        *live("recordings",
              "trades_out_of_order_within_grace_change_no_bar"),
    ]),
    "S4": Rule("exact volume, notional and VWAP", [
        *core("partials", "sums_are_exact", "sums_beyond_64_and_128_bits_are_exact",
              "a_number_beyond_64_bits_is_summed_exactly",
              "the_pass_over_columns_equals_one_trade_after_another"),
        *core("bars", "volume_and_vwap_are_exact", "notional_beyond_128_bits_is_still_exact",
              "a_bar_without_volume_has_no_vwap", "low_is_below_vwap_is_below_high"),
        *core("builder_rules", "a_vwap_has_all_its_digits"),
        *live("recordings",
              "every_bar_equals_the_independent_programs"),
    ]),
    "S5": Rule("provisional, final once, then revised", [
        *core("builder", "a_bar_is_provisional_until_stream_time_passes_its_close_and_grace",
              "a_bar_is_final_once", "a_late_trade_revises_its_bar_and_every_final_bar_above",
              "longer_bars_may_wait_but_their_finals_never_do"),
        *core("series", "a_bar_is_final_when_stream_time_reaches_its_close_and_grace",
              "finals_come_base_first_and_each_once"),
        *core("series_changes", "a_second_change_is_one_more_revision"),
        *core("builder_properties", "everything_happens_in_the_logs"),
    ]),
    "S6": Rule("lateness per series; a late tick is never lost", [
        *core("builder", "one_fast_symbol_never_makes_another_late",
              "out_of_order_within_grace_is_not_late",
              "a_late_trade_revises_its_bar_and_every_final_bar_above",
              "a_trade_beyond_revise_for_is_recorded_alone"),
        *core("partials", "lateness_is_judged_by_the_series_own_time_before_the_trade",
              "lateness_goes_on_from_the_block_before"),
        *core("series", "a_late_trade_changes_bars_for_as_long_as_they_may_be_revised"),
        *core("builder_rules", "each_series_has_the_grace_of_its_own"),
        *core("amendments", "what_was_late_because_of_a_cancelled_trade_stays_late"),
    ]),
    "S7": Rule("recorded clock ticks close idle bars", [
        *core("series", "the_clock_closes_an_idle_bar_when_its_time_is_over",
              "what_comes_after_the_clock_closed_its_bar_is_late",
              "a_clock_behind_the_last_tick_changes_nothing", "clocks_are_not_counted_twice"),
        *core("builder_rules",
              "the_clock_closes_an_idle_series_and_what_comes_then_is_late",
              "an_older_clock_does_not_turn_the_clock_back",
              "another_symbols_ticks_and_quotes_do_not_delay_the_clock",
              "a_part_of_a_block_says_nothing_of_series_it_has_no_tick_of"),
        *live("amendments",
              "the_clock_closes_an_idle_bar_once_and_a_new_group_closes_it_at_the_same_place"),
    ]),
    "S8": Rule("empty intervals: omit, carry or null, in sessions alone", [
        *core("empties", "an_interval_without_a_trade_is_what_its_series_makes_of_it",
              "an_empty_bar_has_no_volume_and_no_offsets", "no_bar_is_made_outside_a_session",
              "lunch_is_no_interval_without_a_trade",
              "a_late_trade_fills_an_empty_bar_and_what_carries_its_close",
              "an_empty_bar_is_final_when_its_close_and_grace_are_over"),
        *core("builder_rules", "an_empty_interval_is_what_the_catalog_says",
              "no_bar_is_carried_through_the_night",
              "a_close_is_carried_however_long_ago_it_was"),
    ]),
    "S9": Rule("sale conditions decide what a print counts for", [
        *core("conditions", "each_code_counts_as_the_tapes_say",
              "a_print_updates_what_all_its_conditions_allow",
              "an_old_day_is_judged_by_the_rules_of_its_time",
              "a_bar_takes_each_value_from_the_prints_that_may_give_it"),
        *core("builder_rules", "conditions_decide_what_a_print_of_the_session_counts_for",
              "outside_the_session_extended_hours_prints_make_the_prices",
              "a_venue_without_a_table_takes_every_print"),
        *core("plan", "conditions_are_judged_by_the_table_of_the_venue_and_the_session"),
        *replay("conditions_equities",
              "minutes_of_the_vendor_are_explained"),
    ]),
    "S10": Rule("corrections and cancels recompute the bars they touch", [
        *core("amender", "after_a_cancel_all_bars_are_as_if_the_trade_had_not_been",
              "exactly_the_bars_that_hold_the_trade_are_revised_with_the_reason",
              "a_correction_gives_its_trade_another_price_and_size_at_the_same_place",
              "of_several_amendments_the_last_holds",
              "a_cancel_that_comes_before_its_trade_waits_for_it",
              "a_composite_series_is_amended_with_its_member"),
        *core("amendments", "a_cancelled_trade_is_in_no_number_of_its_bar",
              "the_last_amendment_of_a_trade_holds_wherever_it_stands_in_the_log"),
        *core("series_changes",
              "a_recomputed_bar_revises_every_final_bar_above_and_renews_the_open_ones"),
        *core("builder_rules",
              "a_cancel_before_its_trade_is_for_the_venue_that_told_of_it"),
        *live("amendments",
              "cancels_and_a_correction_an_hour_and_a_day_later"),
    ]),
    "S11": Rule("D1 and H4 follow the session", [
        *core("sessions", "bars_of_new_york", "bars_of_hong_kong_and_its_lunch",
              "four_hours_of_fx_count_from_five_in_new_york",
              "a_session_bar_lies_within_its_session"),
        *core("timeframes", "days_of_fx_end_at_17_new_york"),
        *core("series", "a_session_s_bars_end_with_it_and_are_final_then",
              "a_trade_after_hours_is_in_no_bar_of_a_session"),
        *core("builder_rules", "four_hours_and_days_are_those_of_the_session",
              "a_day_is_final_when_its_session_and_grace_are_over"),
        *replay("session_bounds",
              "a_daily_bar_is_the_session_and_nothing_outside_it"),
        *replay("session_bounds",
              "fx_days_end_at_five_in_new_york_through_both_changes"),
    ]),
    "S12": Rule("every bar is the roll-up of its children", [
        *core("builder", "longer_bars_are_the_roll_up_of_their_children"),
        *core("series", "a_roll_up_is_of_all_children_in_their_order"),
        *core("series_logs", "what_is_left_is_what_the_trades_left_make"),
        *core("timeframes", "every_bar_is_made_of_whole_bars_of_its_child"),
        *core("empties", "empty_children_have_no_part_in_a_roll_up"),
        *core("quote_bars", "longer_bars_are_the_roll_up_of_their_children"),
        *replay("coinbase",
              "minutes_rolled_up_from_seconds_equal_the_venues"),
    ]),
    "S13": Rule("a replay is idempotent", [
        *core("builder_properties", "blocks_and_crashes_change_nothing",
              "a_tick_sent_again_changes_nothing",
              "what_a_zombie_publishes_again_changes_nothing"),
        *core("builder", "cuts_and_restarts_change_neither_bars_nor_histories",
              "a_repeat_by_a_zombie_is_not_counted_twice",
              "a_repeat_inside_one_block_is_not_counted_twice"),
        *core("series_logs", "blocks_and_crashes_change_neither_bars_nor_histories"),
        *core("builder_rules", "a_close_is_carried_however_long_ago_it_was"),
        *core("empties", "a_restart_forgets_neither_how_far_it_filled_nor_what_it_carries"),
        *core("amender", "histories_do_not_depend_on_blocks_or_crashes",
              "a_zombies_amendment_is_passed_over"),
        *live("recordings",
              "publishing_the_topic_again_changes_nothing_anywhere"),
        *live("recordings",
              "offsets_rewound_to_the_beginning_change_nothing"),
    ]),
    "S14": Rule("the first bar after a cold start is partial", [
        *core("builder", "the_bar_in_which_a_series_began_is_partial"),
        *core("series", "bars_that_hold_the_beginning_of_a_series_are_partial"),
        *core("builder_rules", "only_the_bars_in_which_a_series_began_are_partial",
              "a_series_began_with_its_earliest_bar_not_with_the_first_to_arrive"),
        *core("activity", "the_bar_in_which_a_series_began_is_partial"),
        *core("quote_bars", "the_bar_in_which_a_side_began_is_partial"),
    ]),
    "S15": Rule("a bar touched by an open gap is incomplete", [
        *core("builder_rules", "a_bar_touched_by_a_hole_is_incomplete",
              "a_hole_repaired_in_time_leaves_no_trace",
              "a_hole_repaired_late_is_a_revision_by_its_last_missing_trade",
              "a_hole_found_late_revises_the_bars_that_were_final",
              "ids_are_followed_by_venue_and_symbol_and_only_where_they_are_contiguous",
              "a_trade_that_was_cancelled_before_it_came_is_not_missing",
              "a_hole_at_a_venue_is_a_hole_in_its_composite"),
        *core("ids", "a_bar_is_complete_when_what_is_missing_belongs_to_the_next",
              "what_is_missing_may_come_until_the_bar_of_the_trade_behind_it_is_final",
              "trades_shuffled_within_grace_leave_no_trace_in_any_final_bar"),
        *core("series_changes", "bars_touched_by_an_open_gap_are_incomplete",
              "an_open_bar_is_incomplete_as_soon_as_a_hole_is_found",
              "a_hole_counts_when_the_bar_of_the_trade_behind_it_is_final",
              "a_gap_touches_the_bars_between_its_neighbours_and_theirs",
              "bars_are_complete_when_the_last_gap_in_them_is_closed"),
    ]),
    "S16": Rule("quote bars count quotes, and trade nothing", [
        *core("quote_bars", "a_quote_makes_a_bar_of_each_side_and_of_the_middle",
              "the_count_is_of_quotes_and_no_volume", "half_a_unit_is_rounded_to_even",
              "a_crossed_quote_counts_for_bid_and_ask_and_has_no_mid",
              "a_locked_quote_has_a_mid"),
        *core("builder", "quotes_do_not_touch_bars"),
        *core("quote_builder", "quotes_make_bars_of_their_own_beside_those_of_trades"),
    ]),
    "S17": Rule("tick, volume and value bars", [
        *core("activity", "a_tick_bar_closes_with_the_trade_that_fills_it",
              "a_volume_bar_closes_at_its_threshold_and_not_a_unit_before",
              "a_value_bar_closes_at_price_times_size_to_the_last_digit",
              "what_a_trade_brings_beyond_the_threshold_is_not_carried_over",
              "blocks_and_restarts_change_no_bar"),
        *core("builder_rules", "activity_bars_of_the_catalog_stand_beside_the_time_bars"),
    ]),
    "S18": Rule("each bar carries its lineage", [
        *core("builder", "lineage_names_the_offsets_used"),
        *core("builder_rules", "a_bars_lineage_is_its_partition_its_offsets_and_its_counts"),
        *core("series", "repeats_are_counted_in_the_bar_there_is_and_make_none"),
        *core("explain", "the_used_ticks_make_the_bar_whatever_their_order",
              "a_repeat_is_refused_and_not_counted",
              "a_late_trade_is_used_and_one_beyond_revise_for_only_recorded",
              "a_cancelled_trade_is_refused"),
        *live("explain",
              "a_minutes_ticks_are_told_one_by_one_and_make_it"),
        *live("explain", "a_refusal_says_why"),
    ]),
}  # fmt: skip


def missing(tests: list[str]) -> Iterator[str]:
    """Yield the tests that are not there."""
    for test in tests:
        path, _, name = test.partition("::")
        file = ROOT / path
        tree = ast.parse(file.read_text("utf-8")) if file.is_file() else ast.Module([], [])
        names = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        if name not in names:
            yield test


def test_no_rule_is_without_a_name_and_a_test() -> None:
    assert list(RULES) == [f"S{n}" for n in range(1, 19)]
    assert all(rule.name and rule.tests for rule in RULES.values())


@pytest.mark.parametrize("number", RULES)
def test_what_guards_a_rule_is_there_and_named_once(number: str) -> None:
    tests = RULES[number].tests

    assert list(missing(tests)) == []
    assert len(set(tests)) == len(tests)


def test_a_test_that_is_not_there_is_missed() -> None:
    strangers = ["tests/unit/test_semantics.py::test_nothing", "tests/nowhere.py::test_nothing"]
    known = f"tests/unit/test_semantics.py::{test_a_test_that_is_not_there_is_missed.__name__}"

    assert list(missing([known, *strangers])) == strangers
