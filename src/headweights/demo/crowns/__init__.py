"""Tree crowns: aerial photographs with boxes drawn by people, and rendered images with exact boxes."""
