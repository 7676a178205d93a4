"""The generated pages of the reference: settings, and components with pictures of what they do."""
