"""What MedForge is installed with: pins and hashes (`make lock`), their bill of materials and their audit."""
