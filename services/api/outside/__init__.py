"""What an API process reaches outside itself, each made when it is first used."""
