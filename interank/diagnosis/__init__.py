"""What questions a model, apart from what makes one: whether all ways of running it agree, what attacks gain."""
