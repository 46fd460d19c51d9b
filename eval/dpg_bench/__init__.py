"""DPG-Bench (Hu et al. 2024, "ELLA"): questions about every detail of long prompts."""
