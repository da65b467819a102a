"""Countries of four continents, for the classification benchmark.

Left out are those on two continents or of disputed place (such as Russia, Turkey, Cyprus, Georgia),
and Oceania, which has too few. America is both Americas with the Caribbean.
"""

AFRICA = """
Algeria, Angola, Benin, Botswana, Burkina Faso, Burundi, Cameroon, Cape Verde,
Central African Republic, Chad, Comoros, Djibouti, Equatorial Guinea, Eritrea, Eswatini, Ethiopia,
Gabon, Gambia, Ghana, Guinea, Guinea-Bissau, Ivory Coast, Kenya, Lesotho, Liberia, Libya,
Madagascar, Malawi, Mali, Mauritania, Mauritius, Morocco, Mozambique, Namibia, Niger, Nigeria,
Republic of the Congo, Rwanda, Senegal, Seychelles, Sierra Leone, Somalia, South Africa,
South Sudan, Sudan, São Tomé and Príncipe, Tanzania, Togo, Tunisia, Uganda, Zambia, Zimbabwe
"""
EUROPE = """
Albania, Andorra, Austria, Belarus, Belgium, Bosnia and Herzegovina, Bulgaria, Croatia,
Czech Republic, Denmark, Estonia, Finland, France, Germany, Greece, Hungary, Iceland, Ireland,
Italy, Kosovo, Latvia, Liechtenstein, Lithuania, Luxembourg, Malta, Moldova, Monaco, Montenegro,
Netherlands, North Macedonia, Norway, Poland, Portugal, Romania, San Marino, Serbia, Slovakia,
Slovenia, Spain, Sweden, Switzerland, Ukraine, United Kingdom, Vatican City
"""
ASIA = """
Afghanistan, Bahrain, Bangladesh, Bhutan, Brunei, Cambodia, China, East Timor, India, Indonesia,
Iran, Iraq, Israel, Japan, Jordan, Kuwait, Kyrgyzstan, Laos, Lebanon, Malaysia, Maldives, Mongolia,
Myanmar, Nepal, North Korea, Oman, Pakistan, Palestine, Philippines, Qatar, Saudi Arabia,
Singapore, South Korea, Sri Lanka, Syria, Taiwan, Tajikistan, Thailand, Turkmenistan,
United Arab Emirates, Uzbekistan, Vietnam, Yemen
"""
AMERICA = """
Antigua and Barbuda, Argentina, Bahamas, Barbados, Belize, Bolivia, Brazil, Canada, Chile,
Colombia, Costa Rica, Cuba, Dominica, Dominican Republic, Ecuador, El Salvador, Grenada,
Guatemala, Guyana, Haiti, Honduras, Jamaica, Mexico, Nicaragua, Panama, Paraguay, Peru,
Saint Kitts and Nevis, Saint Lucia, Saint Vincent and the Grenadines, Suriname,
Trinidad and Tobago, United States, Uruguay, Venezuela
"""
COUNTRIES = {
    name: " ".join(listed.split()).split(", ")
    for name, listed in (
        ("Africa", AFRICA),
        ("Europe", EUROPE),
        ("Asia", ASIA),
        ("America", AMERICA),
    )
}
"""Countries by continent."""
