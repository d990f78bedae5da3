"""Reviews: what sites say of the main branch on their own images, and what follows from it."""
