"""The process that owns a home: claims trials, drives the slots, records what comes back."""
