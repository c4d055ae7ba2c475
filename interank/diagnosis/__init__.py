"""What questions a model, apart from what makes one: whether all variants of it agree, what attacks gain."""
