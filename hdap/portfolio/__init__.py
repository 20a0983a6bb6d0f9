"""Several networks of one model beside each other: made, bundled, swapped while they serve."""
