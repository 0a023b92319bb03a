"""What one goes on with from any row that shows a run: attack harder, edit and resubmit, note."""
