"""The studies that ship with Innate."""

from core.study.presets.texts import preset_names, preset_text, study_template

__all__ = ["preset_names", "preset_text", "study_template"]
