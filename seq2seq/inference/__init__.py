"""What people do with a trained model: translate, evaluate, look."""
