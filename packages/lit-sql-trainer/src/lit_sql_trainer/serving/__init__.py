"""Serves a trained model: an OpenAI-compatible endpoint, by vLLM or the local server."""
