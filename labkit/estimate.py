def minutes_for(name, here, images):
    return "estimate pending"
