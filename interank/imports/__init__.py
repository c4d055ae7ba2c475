"""What people have, turned into what the stages take: questions with answers, and labelled pairs of many kinds."""
