"""What a user's training run consists of, beside the training itself."""
