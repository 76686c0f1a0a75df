"""What the ablations share: arms, trainings to compare, the spread over seeds, the picture."""
