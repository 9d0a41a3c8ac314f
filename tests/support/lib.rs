//! What the behaviour tests share: the built program, scratch folders, tiny models.
